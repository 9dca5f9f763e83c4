-- The valid order events of user_actions into user_orders.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_orders_mv TO user_orders AS
SELECT
    event_time,
    user_id,
    user_tier,
    venue,
    symbol,
    ifNull(order_id, 0) AS order_id,
    action,
    ifNull(side, 'BUY') AS side,
    ifNull(type, '') AS type,
    ifNull(price, 0) AS price,
    ifNull(quantity, 0) AS quantity,
    ifNull(filled_quantity, 0) AS filled_quantity,
    ifNull(status, '') AS status,
    ifNull(trade_id, 0) AS trade_id,
    ifNull(counterparty_id, 0) AS counterparty_id,
    ifNull(liquidity, '') AS liquidity,
    ifNull(replaces_order_id, 0) AS replaces_order_id,
    ifNull(order_time, toDateTime64(0, 3, 'UTC')) AS order_time,
    ifNull(metadata, '') AS metadata,
    event_id,
    receive_time,
    partition,
    offset
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire'));
