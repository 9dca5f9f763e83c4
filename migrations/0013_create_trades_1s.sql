-- Trading per second: price range, taker volume a side.
-- Grain: one row a (venue, symbol, second) once merged; read it through dash_trades_1s.
-- Every column ignores repeats: quantities are kept per trade id, so a trade that is delivered twice counts once.
CREATE TABLE IF NOT EXISTS trades_1s
(
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `second` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `open` AggregateFunction(argMin, Float64, UInt64) COMMENT 'price of the lowest trade id',
    `high` SimpleAggregateFunction(max, Float64) COMMENT 'highest price',
    `low` SimpleAggregateFunction(min, Float64) COMMENT 'lowest price',
    `close` AggregateFunction(argMax, Float64, UInt64) COMMENT 'price of the highest trade id',
    `bought` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'trade id to base quantity, taker bought' CODEC(ZSTD(3)),
    `sold` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'trade id to base quantity, taker sold' CODEC(ZSTD(3)),
    `notional` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'trade id to quote amount' CODEC(ZSTD(3))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(second)
ORDER BY (venue, symbol, second)
TTL second + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
