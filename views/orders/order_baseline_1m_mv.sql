-- Keeps order_baseline_1m from what the rules judge. Ignores repeats: maxima.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_baseline_1m_mv TO order_baseline_1m AS
SELECT
    venue,
    symbol,
    toStartOfMinute(second) AS minute,
    user_id,
    max(toString(user_tier)) AS user_tier,
    max(w_messages) AS messages,
    max(w_cancelled_100ms) AS cancelled_100ms,
    max(w_filled) AS filled,
    max(w_placed) AS placed,
    max(if((w_cancelled >= 20) AND (w_pulled > 0), w_faded / w_pulled, 0)) AS faded_share
FROM order_watch
GROUP BY
    venue,
    symbol,
    minute,
    user_id;
