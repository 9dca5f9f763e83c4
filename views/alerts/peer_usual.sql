-- What is usual for a tier in a book (peer_usual_now), as a look-up. Grain: (venue, symbol, user_tier). Read by: alert_orders_mv.
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
SOURCE(CLICKHOUSE(TABLE 'peer_usual_now'))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 5 MAX 10);
