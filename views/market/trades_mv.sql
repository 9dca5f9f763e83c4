-- The valid rows of market_trades into trades.
CREATE MATERIALIZED VIEW IF NOT EXISTS trades_mv TO trades AS
SELECT
    event_time,
    venue,
    symbol,
    trade_id,
    price,
    quantity,
    side,
    taker,
    order_id,
    receive_time,
    partition,
    offset
FROM market_trades_landing
WHERE reject_reason = '';
