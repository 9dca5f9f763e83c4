-- Unites the block with what user_orders holds of the seconds it touches, each event once. Grain: one event_id of an
-- account. Fills order_known. Cost: of user_orders the touched accounts between the block's first and last second.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_known_mv TO order_known AS
SELECT *
FROM
(
    SELECT
        user_id,
        user_tier,
        venue,
        symbol,
        event_id,
        event_time,
        action,
        side,
        order_id,
        trade_id,
        counterparty_id,
        amount,
        open_amount,
        price,
        order_time,
        1 AS fresh
    FROM order_events
    UNION ALL
    SELECT
        user_id,
        user_tier,
        venue,
        symbol,
        event_id,
        event_time,
        action,
        side,
        order_id,
        trade_id,
        counterparty_id,
        price * quantity,
        price * greatest(quantity - filled_quantity, 0),
        price,
        order_time,
        0 AS fresh
    FROM user_orders
    WHERE ((user_id, venue, symbol) IN (SELECT user_id, venue, symbol FROM order_events))
        AND (event_time >= (SELECT toStartOfSecond(min(event_time)) FROM order_events)) AND (event_time < (SELECT max(event_time) + 1 FROM order_events))
)
ORDER BY fresh DESC
LIMIT 1 BY
    user_id,
    event_id;
