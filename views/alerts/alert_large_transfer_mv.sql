-- Rule large_transfer: one deposit or withdrawal is far above what the account and the other accounts move in that asset.
-- Grain: one signal a (user_id, asset, second). Baselines: the account's largest transfer of the asset in 30 days before;
-- the median of all other accounts' transfers of the asset in the day before, if there were thirty.
-- Parameters (alert_rules; scope 'asset:<asset>', then 'tier:<tier>', then '*'): enabled, min_value (units of the asset),
-- own_factor, peer_factor; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: the inserted rows; only for transfers above min_value the account's 30 days and a day of the asset's transfers.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_large_transfer_mv TO alert_signals AS
WITH
    candidates AS
    (
        SELECT
            event_id,
            event_time,
            user_id,
            user_tier,
            venue,
            action,
            asset,
            amount,
            dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('asset:', asset), 'enabled'), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('tier:', user_tier), 'enabled'), dictGet('alert_thresholds', 'value', ('large_transfer', '*', 'enabled')))) AS enabled,
            dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('asset:', asset), 'min_value'), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('tier:', user_tier), 'min_value'), dictGet('alert_thresholds', 'value', ('large_transfer', '*', 'min_value')))) AS min_value,
            dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('asset:', asset), 'own_factor'), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('tier:', user_tier), 'own_factor'), dictGet('alert_thresholds', 'value', ('large_transfer', '*', 'own_factor')))) AS own_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('asset:', asset), 'peer_factor'), dictGetOrDefault('alert_thresholds', 'value', ('large_transfer', concat('tier:', user_tier), 'peer_factor'), dictGet('alert_thresholds', 'value', ('large_transfer', '*', 'peer_factor')))) AS peer_factor
        FROM user_transfers
        WHERE (enabled > 0) AND (amount >= min_value)
    )
SELECT
    'large_transfer' AS rule,
    'critical' AS severity,
    concat('user:', toString(candidates.user_id), '@', asset) AS entity,
    any(candidates.venue) AS venue,
    '' AS symbol,
    candidates.user_id AS user_id,
    toDateTime(any(candidates.event_time), 'UTC') AS second,
    any(candidates.amount) AS value,
    greatest(maxIf(past_amount, (account = candidates.user_id) AND (past_time < candidates.event_time)), if(countIf((account != candidates.user_id) AND (past_time < candidates.event_time) AND (past_time > (candidates.event_time - INTERVAL 1 DAY))) >= 30, medianIf(past_amount, (account != candidates.user_id) AND (past_time < candidates.event_time) AND (past_time > (candidates.event_time - INTERVAL 1 DAY))), 0)) AS baseline,
    greatest(any(min_value), any(own_factor) * maxIf(past_amount, (account = candidates.user_id) AND (past_time < candidates.event_time)), any(peer_factor) * if(countIf((account != candidates.user_id) AND (past_time < candidates.event_time) AND (past_time > (candidates.event_time - INTERVAL 1 DAY))) >= 30, medianIf(past_amount, (account != candidates.user_id) AND (past_time < candidates.event_time) AND (past_time > (candidates.event_time - INTERVAL 1 DAY))), 0)) AS threshold,
    concat(entity, ': ', any(candidates.action), ' of ', toString(value), ' ', asset, ', usually at most ', toString(round(baseline, 2))) AS summary,
    toJSONString(map('event_id', candidates.event_id, 'action', any(candidates.action), 'amount', toString(value), 'user_tier', toString(any(candidates.user_tier)))) AS evidence
FROM candidates
LEFT JOIN
(
    SELECT
        asset,
        user_id AS account,
        event_time AS past_time,
        amount AS past_amount
    FROM user_transfers_history
    WHERE (asset IN (SELECT asset FROM candidates)) AND (event_time < (SELECT max(event_time) FROM candidates))
        AND ((event_time > (SELECT min(event_time) - INTERVAL 1 DAY FROM candidates))
            OR ((user_id IN (SELECT user_id FROM candidates)) AND (event_time > (SELECT min(event_time) - INTERVAL 30 DAY FROM candidates))))
) AS past USING (asset)
GROUP BY
    candidates.user_id,
    asset,
    candidates.event_id,
    candidates.event_time
HAVING value >= threshold;
