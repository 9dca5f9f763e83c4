-- What is usual: per account, book and minute the busiest rolling minute that ended in it. A few rows a minute, so that
-- a rule can afford to look at an account's own past and at all its peers.
-- Grain: one row a (venue, symbol, minute, user_id) once merged; maxima, so a repeat changes nothing.
-- Read by: the order rules in views/alerts, and only for accounts that already look bad.
CREATE TABLE IF NOT EXISTS order_baseline_1m
(
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `minute` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `user_tier` SimpleAggregateFunction(max, String) COMMENT 'group of the account' CODEC(ZSTD(1)),
    `messages` SimpleAggregateFunction(max, UInt32) COMMENT 'placed and cancelled' CODEC(T64, ZSTD(1)),
    `cancelled_100ms` SimpleAggregateFunction(max, UInt32) CODEC(T64, ZSTD(1)),
    `filled` SimpleAggregateFunction(max, UInt32) CODEC(T64, ZSTD(1)),
    `placed` SimpleAggregateFunction(max, UInt32) COMMENT 'new orders and replacements' CODEC(T64, ZSTD(1)),
    `faded_share` SimpleAggregateFunction(max, Float64) COMMENT 'faded_notional over cancelled_notional, of 20 cancels or more' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(minute)
ORDER BY (venue, symbol, minute, user_id)
TTL minute + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 512;
