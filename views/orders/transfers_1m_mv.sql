-- Rollup of deposits and withdrawals per account, asset and minute. Ignores repeats: see transfers_1m.
CREATE MATERIALIZED VIEW IF NOT EXISTS transfers_1m_mv TO transfers_1m AS
WITH
    CAST(map(), 'Map(String, Float64)') AS no_amount,
    assumeNotNull(ifNull(amount, 0.)) AS moved
SELECT
    user_id,
    assumeNotNull(ifNull(toString(asset), '')) AS asset,
    toStartOfMinute(event_time) AS minute,
    maxMap(if(action = 'deposit', map(event_id, moved), no_amount)) AS deposits,
    maxMap(if(action = 'withdrawal', map(event_id, moved), no_amount)) AS withdrawals
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('deposit', 'withdrawal'))
GROUP BY
    user_id,
    asset,
    minute;
