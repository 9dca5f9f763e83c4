-- The valid order events of user_actions as the rules need them. Grain: one event. Fills order_events.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_events_mv TO order_events AS
SELECT
    user_id,
    user_tier,
    venue,
    symbol,
    event_id,
    event_time,
    action,
    assumeNotNull(ifNull(side, 'BUY')) AS side,
    assumeNotNull(order_id) AS order_id,
    assumeNotNull(trade_id) AS trade_id,
    assumeNotNull(counterparty_id) AS counterparty_id,
    assumeNotNull(ifNull(price * quantity, 0.)) AS amount,
    assumeNotNull(ifNull(price * greatest(quantity - ifNull(filled_quantity, 0), 0), 0.)) AS open_amount,
    assumeNotNull(price) AS price,
    assumeNotNull(ifNull(order_time, toDateTime64(0, 3, 'UTC'))) AS order_time
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire'));
