-- Source of the dictionary peer_usual: the 0.9 quantile over a tier's accounts of each one's own 0.95 quantile, so that one
-- account, however wild, moves it little; of orders per trade the median. Grain: one row a (venue, symbol, user_tier).
-- Cost: as order_usual_now.
CREATE VIEW IF NOT EXISTS peer_usual_now AS
SELECT
    venue,
    symbol,
    user_tier,
    quantile(0.9)(high_messages) AS messages,
    quantile(0.9)(high_cancelled_100ms) AS cancelled_100ms,
    quantile(0.9)(high_filled) AS filled,
    quantile(0.9)(high_faded_share) AS faded_share,
    median(lately_orders_per_trade) AS orders_per_trade
FROM order_usual_now AS usual
GROUP BY
    venue,
    symbol,
    user_tier;
