-- What an account did in a book per second. Read it through dash_orders_1s and dash_orders_1m.
-- Grain: one row a (user_id, venue, symbol, second) once merged.
-- Every column ignores repeats: amounts are kept per order id or trade id, so that an event that is delivered twice, or
-- late, or in another block leaves the figures that a rebuild from user_orders gives.
CREATE TABLE IF NOT EXISTS order_flow_1s
(
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `second` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `user_tier` SimpleAggregateFunction(max, String) COMMENT 'group of the account' CODEC(ZSTD(1)),
    `placed` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'order id of a new order to quote amount' CODEC(ZSTD(1)),
    `replaced` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'order id of a replacing order to quote amount' CODEC(ZSTD(1)),
    `cancelled` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'order id to quote amount that was still open' CODEC(ZSTD(1)),
    `lifetime_ms` SimpleAggregateFunction(maxMap, Map(UInt64, UInt32)) COMMENT 'cancelled order id to its age' CODEC(ZSTD(1)),
    `filled` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'trade id to quote amount' CODEC(ZSTD(1)),
    `self_traded` SimpleAggregateFunction(maxMap, Map(UInt64, Float64)) COMMENT 'trade id with oneself to quote amount' CODEC(ZSTD(1)),
    `refused` SimpleAggregateFunction(maxMap, Map(UInt64, UInt8)) COMMENT 'rejected and expired order ids' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(second)
ORDER BY (user_id, venue, symbol, second)
TTL second + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 512;
