-- What is usual for an account in a book: medians of its minutes over the half hour before the last two minutes of the
-- stream. A dictionary, so that a rule pays a look-up and half an hour is read once a reload, not once an insert.
-- Grain: (user_id, venue, symbol). Read by: alert_orders_mv.
CREATE DICTIONARY IF NOT EXISTS order_usual
(
    `user_id` UInt64,
    `venue` String,
    `symbol` String,
    `messages` Float64,
    `cancelled_100ms` Float64,
    `filled` Float64,
    `faded_share` Float64,
    `orders_per_trade` Float64
)
PRIMARY KEY user_id, venue, symbol
SOURCE(CLICKHOUSE(TABLE 'order_usual_now'))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 5 MAX 10);
