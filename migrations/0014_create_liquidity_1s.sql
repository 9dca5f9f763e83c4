-- Liquidity per second: touch, spread, depth in bands around the mid.
-- Grain: one row a (venue, symbol, second) once merged; read it through dash_liquidity.
-- Every column ignores repeats (max, min, argMax by sequence, distinct windows). Depth is the most that rested in the
-- second, so that a rule which asks "was it gone for the whole second?" is not fooled by one odd sample.
CREATE TABLE IF NOT EXISTS liquidity_1s
(
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `second` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `bid` AggregateFunction(argMax, Float64, UInt64) COMMENT 'best bid at the last sequence',
    `ask` AggregateFunction(argMax, Float64, UInt64) COMMENT 'best ask at the last sequence',
    `spread_bps_min` SimpleAggregateFunction(min, Float64) COMMENT 'narrowest spread over the mid',
    `spread_bps_max` SimpleAggregateFunction(max, Float64) COMMENT 'widest spread over the mid',
    `bid_depth` SimpleAggregateFunction(maxMap, Map(UInt16, Float64)) COMMENT 'band in bps to base quantity' CODEC(ZSTD(3)),
    `ask_depth` SimpleAggregateFunction(maxMap, Map(UInt16, Float64)) COMMENT 'band in bps to base quantity' CODEC(ZSTD(3)),
    `windows` AggregateFunction(uniq, DateTime64(3, 'UTC')) COMMENT 'published windows'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(second)
ORDER BY (venue, symbol, second)
TTL second + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 512;
