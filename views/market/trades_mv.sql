-- The valid rows of market_trades into trades. The decimals are the fewest that bring the float back to the bit, within
-- the whole numbers that a float holds; 255 and the float's own bits where none does.
CREATE MATERIALIZED VIEW IF NOT EXISTS trades_mv TO trades AS
SELECT
    event_time,
    venue,
    symbol,
    trade_id,
    arrayFirst(s -> ((s = 255) OR (((round(price * intExp10(s)) / intExp10(s)) = price) AND ((price * intExp10(s)) < 9e15))), [2, 4, 6, 8, 255]) AS price_scale,
    if(price_scale = 255, reinterpretAsInt64(price), toInt64(round(price * intExp10(price_scale)))) AS price_ticks,
    arrayFirst(s -> ((s = 255) OR (((round(quantity * intExp10(s)) / intExp10(s)) = quantity) AND ((quantity * intExp10(s)) < 9e15))), [0, 1, 2, 3, 4, 5, 6, 7, 8, 255]) AS quantity_scale,
    if(quantity_scale = 255, reinterpretAsInt64(quantity), toInt64(round(quantity * intExp10(quantity_scale)))) AS quantity_lots,
    side,
    taker,
    order_id,
    receive_time,
    partition,
    offset
FROM market_trades_landing
WHERE reject_reason = '';
