-- Vectors of the posts with the most engagement, for "what else is said like this?".
-- Grain: one row a text (near-duplicates share it); given again it replaces itself. Read by: analysts, with
-- ORDER BY cosineDistance(embedding, <vector>) LIMIT n.
-- Its TTL is shorter than that of social_buzz: vectors are large. Every vector has the 512 dimensions of
-- CHCTL_SOCIAL_EMBEDDING_DIMENSIONS; with another size, change both, and the HNSW index that
-- 0036_add_social_embeddings_index.sql puts over it where the engine has one.
CREATE TABLE IF NOT EXISTS social_embeddings
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'of the post that brought the vector' CODEC(Delta(8), ZSTD(1)),
    `text_hash` UInt64 COMMENT 'as in social_buzz',
    `event_id` String COMMENT 'of the post that brought the vector',
    `engagement` UInt64 COMMENT 'likes, votes, replies, summed',
    `embedding` Array(Float32) COMMENT '512 dimensions, unit length as the provider gives it' CODEC(NONE),
    `processed_time` DateTime64(3, 'UTC') COMMENT 'the latest row wins',
    CONSTRAINT embedding_has_512_dimensions CHECK length(embedding) = 512
)
ENGINE = ReplacingMergeTree(processed_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY text_hash
TTL toDateTime(event_time) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;
