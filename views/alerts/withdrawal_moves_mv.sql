-- The block's withdrawals, each with its account's week of transfers and hour of failed logins, and the thresholds in force.
-- Grain: one withdrawal. Fills withdrawal_moves.
-- Cost: a week of the withdrawing accounts' own transfers, an hour of their logins.
CREATE MATERIALIZED VIEW IF NOT EXISTS withdrawal_moves_mv TO withdrawal_moves AS
WITH
    candidates AS
    (
        SELECT
            user_id,
            event_id,
            event_time,
            venue,
            user_tier,
            asset,
            amount,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'min_value'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'min_value'))) AS min_value,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'own_factor'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'own_factor'))) AS own_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'min_amount'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'min_amount'))) AS min_amount,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'after_deposit_s'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'after_deposit_s'))) AS after_deposit_s,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'deposit_share'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'deposit_share'))) AS deposit_share,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'amount_factor'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'amount_factor'))) AS amount_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'repeats'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'repeats'))) AS repeats,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'after_login_s'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'after_login_s'))) AS after_login_s,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'failed_logins'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'failed_logins'))) AS failed_logins
        FROM withdrawing_transfers
        WHERE (action = 'withdrawal') AND (dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'enabled'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'enabled'))) > 0)
    ),
    moves AS
    (
        SELECT
            user_id,
            arraySort(groupUniqArray((event_time, action, asset, amount, event_id))) AS moved
        FROM
        (
            SELECT
                user_id,
                event_time,
                action,
                asset,
                amount,
                event_id
            FROM withdrawing_transfers
            UNION ALL
            SELECT
                user_id,
                event_time,
                action,
                asset,
                amount,
                event_id
            FROM user_transfers
            WHERE (user_id IN (SELECT user_id FROM withdrawing_transfers))
                AND (event_time > (SELECT min(event_time) - INTERVAL 7 DAY FROM withdrawing_transfers)) AND (event_time <= (SELECT max(event_time) FROM withdrawing_transfers))
        )
        GROUP BY user_id
    ),
    failures AS
    (
        SELECT
            user_id,
            groupUniqArray(event_time) AS failed
        FROM user_logins
        WHERE (user_id IN (SELECT user_id FROM withdrawing_transfers)) AND (action = 'login_failed')
            AND (event_time > (SELECT min(event_time) - INTERVAL 1 HOUR FROM withdrawing_transfers)) AND (event_time <= (SELECT max(event_time) FROM withdrawing_transfers))
        GROUP BY user_id
    )
SELECT
    known.*,
    failed,
    event_time - INTERVAL 1 HOUR AS hour_since,
    event_time - toIntervalSecond(toUInt32(after_deposit_s)) AS deposit_since,
    event_time - toIntervalSecond(toUInt32(after_login_s)) AS login_since
FROM
(
    SELECT
        candidates.*,
        times,
        leaves,
        assets,
        amounts,
        ids
    FROM candidates
    INNER JOIN
    (
        SELECT
            user_id,
            arrayMap(x -> x.1, moved) AS times,
            arrayMap(x -> (x.2 = 'withdrawal'), moved) AS leaves,
            arrayMap(x -> x.3, moved) AS assets,
            arrayMap(x -> x.4, moved) AS amounts,
            arrayMap(x -> x.5, moved) AS ids
        FROM moves
    ) AS week USING (user_id)
) AS known
LEFT JOIN failures USING (user_id);
