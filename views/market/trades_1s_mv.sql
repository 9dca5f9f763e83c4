-- Rollup of market_trades per second. Ignores repeats: see trades_1s.
CREATE MATERIALIZED VIEW IF NOT EXISTS trades_1s_mv TO trades_1s AS
SELECT
    venue,
    symbol,
    toStartOfSecond(event_time) AS second,
    argMinState(toFloat64(price), trade_id) AS open,
    max(toFloat64(price)) AS high,
    min(toFloat64(price)) AS low,
    argMaxState(toFloat64(price), trade_id) AS close,
    maxMap(if(side = 'BUY', map(trade_id, toFloat64(quantity)), map())) AS bought,
    maxMap(if(side = 'SELL', map(trade_id, toFloat64(quantity)), map())) AS sold,
    maxMap(map(trade_id, toFloat64(price) * toFloat64(quantity))) AS notional
FROM market_trades_landing
WHERE reject_reason = ''
GROUP BY
    venue,
    symbol,
    second;
