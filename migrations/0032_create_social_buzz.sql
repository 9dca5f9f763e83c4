-- Posts about an asset with their sentiment, without personal data.
-- Grain: one row a (post, symbol); a post about none has the symbol ''. Delivered again, a row replaces itself, the
-- latest rating wins. Read by: dash_posts, analysts, and the social feeder (answers it need not pay for again).
CREATE TABLE IF NOT EXISTS social_buzz
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'when the post was published' CODEC(Delta(8), ZSTD(1)),
    `symbol` LowCardinality(String) COMMENT 'base asset, empty where the post names none',
    `source` LowCardinality(String) COMMENT 'twitter, reddit, news, telegram, onchain',
    `event_id` String COMMENT 'source:post id' CODEC(ZSTD(1)),
    `language` LowCardinality(String) COMMENT 'BCP 47 tag where the source tells it',
    `text` String COMMENT 'redacted' CODEC(ZSTD(3)),
    `text_hash` UInt64 COMMENT 'near-duplicates share it' CODEC(ZSTD(1)),
    `author_hash` String COMMENT 'keyed hash of the author' CODEC(ZSTD(1)),
    `sentiment_score` Float32 COMMENT 'from -1 to 1',
    `sentiment_label` LowCardinality(String) COMMENT 'negative, neutral, positive',
    `confidence` Float32 COMMENT 'of the analyser, from 0 to 1',
    `tokens_count` UInt32 COMMENT 'tokens of the text; words where a lexicon rated it',
    `engagement` UInt64 COMMENT 'likes, votes, replies, summed' CODEC(T64, ZSTD(1)),
    `model` LowCardinality(String) COMMENT 'what rated the post; lexicon-... is local',
    `cost_usd` Float64 COMMENT 'what the rating cost; 0 where an answer was shared',
    `embedding_id` String COMMENT 'id of the vector in the vector store, if one keeps it',
    `sampled_weight` Float32 COMMENT 'posts that this rating stands for; 0 where the budget left it to the lexicon',
    `metadata` String COMMENT 'JSON of the source, redacted' CODEC(ZSTD(3)),
    `processed_time` DateTime64(3, 'UTC') COMMENT 'when the feeder rated it' CODEC(Delta(8), ZSTD(1)),
    INDEX text_hash_index text_hash TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(processed_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (symbol, toStartOfHour(event_time), source, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
