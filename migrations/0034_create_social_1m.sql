-- Mentions and sentiment per minute.
-- Grain: one row a (symbol, source, minute) once merged; read it through dash_sentiment.
-- The state is the set of the minute's ratings, so that a post that is delivered or rated again counts once: the reader
-- takes the latest rating of each post.
CREATE TABLE IF NOT EXISTS social_1m
(
    `symbol` LowCardinality(String) COMMENT 'base asset, empty for posts that name none',
    `source` LowCardinality(String) COMMENT 'twitter, reddit, news, telegram, onchain',
    `minute` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `ratings` AggregateFunction(groupUniqArray, Tuple(id UInt64, processed_time DateTime64(3, 'UTC'), model String, score Float32, weight Float32, engagement UInt64, author UInt64)) COMMENT 'id and author are hashes of event_id and author_hash' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(minute)
ORDER BY (symbol, minute, source)
TTL minute + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;
