-- What is usual for a tier in a book: the 0.9 quantile over its accounts of each one's own 0.95 quantile, so that one
-- account, however wild, moves it little; of orders per trade the median. Grain: (venue, symbol, user_tier). Read by: alert_orders_mv.
CREATE DICTIONARY IF NOT EXISTS peer_usual
(
    `venue` String,
    `symbol` String,
    `user_tier` String,
    `messages` Float64,
    `cancelled_100ms` Float64,
    `filled` Float64,
    `faded_share` Float64,
    `orders_per_trade` Float64
)
PRIMARY KEY venue, symbol, user_tier
SOURCE(CLICKHOUSE(DB 'chctl' QUERY 'SELECT toString(venue) AS venue, toString(symbol) AS symbol, user_tier, quantile(0.9)(high_messages) AS messages, quantile(0.9)(high_cancelled_100ms) AS cancelled_100ms, quantile(0.9)(high_filled) AS filled, quantile(0.9)(high_faded_share) AS faded_share, median(lately_orders_per_trade) AS orders_per_trade FROM chctl.order_usual_now AS usual GROUP BY venue, symbol, user_tier'))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 5 MAX 10);
