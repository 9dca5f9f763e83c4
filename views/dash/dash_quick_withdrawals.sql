-- Withdrawals that came within ten minutes of a deposit of the same asset, or within fifteen of failed logins.
-- Grain: one row a withdrawal of either kind. Read by: the Surveillance dashboard, analysts.
CREATE VIEW IF NOT EXISTS dash_quick_withdrawals AS
SELECT
    user_id,
    event_time,
    asset,
    amount,
    event_id,
    deposited,
    failed_logins
FROM
(
    SELECT
        withdrawal.user_id AS user_id,
        withdrawal.event_time AS event_time,
        withdrawal.asset AS asset,
        withdrawal.amount AS amount,
        withdrawal.event_id AS event_id,
        arraySum(x -> x.3, arrayFilter(x -> ((x.2 = withdrawal.asset) AND (x.1 <= withdrawal.event_time) AND (x.1 > (withdrawal.event_time - INTERVAL 10 MINUTE))), known.deposits)) AS deposited,
        arrayCount(x -> ((x <= withdrawal.event_time) AND (x > (withdrawal.event_time - INTERVAL 15 MINUTE))), known.failures) AS failed_logins
    FROM
    (
        SELECT
            user_id,
            event_time,
            toString(asset) AS asset,
            amount,
            event_id
        FROM user_transfers FINAL
        WHERE action = 'withdrawal'
    ) AS withdrawal
    INNER JOIN
    (
        SELECT
            user_id,
            groupArrayIf((event_time, asset, amount), action = 'deposit') AS deposits,
            groupArrayIf(event_time, action = 'login_failed') AS failures
        FROM
        (
            SELECT
                user_id,
                event_time,
                toString(action) AS action,
                toString(asset) AS asset,
                amount
            FROM user_transfers FINAL
            UNION ALL
            SELECT
                user_id,
                event_time,
                toString(action) AS action,
                '' AS asset,
                0 AS amount
            FROM user_logins FINAL
        )
        GROUP BY user_id
    ) AS known USING (user_id)
)
WHERE (deposited > 0) OR (failed_logins > 0);
