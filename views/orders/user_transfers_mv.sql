-- The valid deposits and withdrawals of user_actions into user_transfers.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_transfers_mv TO user_transfers AS
SELECT
    event_time,
    user_id,
    user_tier,
    ifNull(venue, '') AS venue,
    action,
    ifNull(asset, '') AS asset,
    ifNull(amount, 0) AS amount,
    ifNull(address_hash, '') AS address_hash,
    ifNull(status, '') AS status,
    ifNull(metadata, '') AS metadata,
    event_id,
    receive_time,
    partition,
    offset
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('deposit', 'withdrawal'));
