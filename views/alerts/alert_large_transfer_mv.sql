-- Rule large_transfer: one deposit or withdrawal is far above what the account and the other accounts move in that asset.
-- Grain: one signal a (user_id, asset, second). Baselines: the account's largest transfer of the asset in 30 days before;
-- the median of all other accounts' transfers of the asset in the day before, if there were thirty.
-- Parameters (alert_rules; scope 'asset:<asset>', then 'tier:<tier>', then '*'): enabled, min_value (units of the asset),
-- own_factor, peer_factor (large_transfers_mv); and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: for transfers above min_value the account's 30 days and a day of the asset's transfers.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_large_transfer_mv TO alert_signals AS
SELECT
    'large_transfer' AS rule,
    'critical' AS severity,
    concat('user:', toString(user_id), '@', asset) AS entity,
    venue,
    '' AS symbol,
    user_id,
    toDateTime(event_time, 'UTC') AS second,
    amount AS value,
    greatest(own_most, peers_median) AS baseline,
    greatest(min_value, own_factor * own_most, peer_factor * peers_median) AS threshold,
    concat('user:', toString(user_id), '@', asset, ': ', action, ' of ', toString(amount), ' ', asset, ', usually at most ', toString(round(greatest(own_most, peers_median), 2))) AS summary,
    toJSONString(map('event_id', event_id, 'action', toString(action), 'amount', toString(amount), 'user_tier', toString(user_tier))) AS evidence
FROM
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
        min_value,
        own_factor,
        peer_factor,
        maxIf(past_amount, is_own) AS own_most,
        if(countIf(is_peer) >= 30, medianIf(past_amount, is_peer), 0) AS peers_median
    FROM
    (
        SELECT
            large_transfers.*,
            past_amount,
            (account = user_id) AND (past_time < event_time) AS is_own,
            (account != user_id) AND (past_time < event_time) AND (past_time > (event_time - toIntervalDay(1))) AS is_peer
        FROM large_transfers
        LEFT JOIN
        (
            SELECT
                asset,
                user_id AS account,
                event_time AS past_time,
                amount AS past_amount
            FROM user_transfers
            WHERE (asset IN (SELECT asset FROM large_transfers)) AND (event_time < (SELECT max(event_time) FROM large_transfers))
                AND ((event_time > (SELECT min(event_time) - toIntervalDay(1) FROM large_transfers))
                    OR ((user_id IN (SELECT user_id FROM large_transfers)) AND (event_time > (SELECT min(event_time) - toIntervalDay(30) FROM large_transfers))))
        ) AS past USING (asset)
    )
    GROUP BY
        event_id,
        event_time,
        user_id,
        user_tier,
        venue,
        action,
        asset,
        amount,
        min_value,
        own_factor,
        peer_factor
)
WHERE amount >= threshold;
