-- Trading per second as people read it: price range, taker volume a side, notional, number of trades.
-- Grain: one row a (venue, symbol, second). Read by: the Market dashboard, the page of the node, the demo.
CREATE VIEW IF NOT EXISTS dash_trades_1s AS
SELECT
    venue,
    symbol,
    second,
    argMinMerge(open) AS open_price,
    max(high) AS high_price,
    min(low) AS low_price,
    argMaxMerge(close) AS close_price,
    arraySum(mapValues(maxMap(bought))) AS bought_quantity,
    arraySum(mapValues(maxMap(sold))) AS sold_quantity,
    arraySum(mapValues(maxMap(notional))) AS traded_notional,
    length(mapKeys(maxMap(notional))) AS trade_count
FROM trades_1s
GROUP BY
    venue,
    symbol,
    second;
