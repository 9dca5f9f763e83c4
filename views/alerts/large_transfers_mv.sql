-- The transfers that rule large_transfer compares. Grain: one transfer of at least min_value. Fills large_transfers: hardly
-- a block has one, and then alert_large_transfer_mv is not even planned.
-- Parameters (alert_rules; scope 'asset:<asset>', then 'tier:<tier>', then '*'): enabled, min_value, own_factor, peer_factor.
CREATE MATERIALIZED VIEW IF NOT EXISTS large_transfers_mv TO large_transfers AS
SELECT
    event_id,
    event_time,
    user_id,
    user_tier,
    venue,
    action,
    asset,
    amount,
    levels[2] AS min_value,
    levels[3] AS own_factor,
    levels[4] AS peer_factor
FROM
(
    SELECT
        *,
        arrayMap(p -> dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('asset:', asset), p), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('tier:', user_tier), p), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', '*', p), 0.))), ['enabled', 'min_value', 'own_factor', 'peer_factor']) AS levels
    FROM user_transfers
)
WHERE ((levels[1]) > 0) AND (amount >= (levels[2]));
