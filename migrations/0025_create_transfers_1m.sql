-- Deposits and withdrawals per account, asset and minute. Read it through dash_transfers_1m.
-- Grain: one row a (user_id, asset, minute) once merged; amounts per event id, so a repeat changes nothing.
CREATE TABLE IF NOT EXISTS transfers_1m
(
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `asset` LowCardinality(String) COMMENT 'currency',
    `minute` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `deposits` SimpleAggregateFunction(maxMap, Map(String, Float64)) COMMENT 'event id to amount' CODEC(ZSTD(1)),
    `withdrawals` SimpleAggregateFunction(maxMap, Map(String, Float64)) COMMENT 'event id to amount' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(minute)
ORDER BY (user_id, asset, minute)
TTL minute + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
