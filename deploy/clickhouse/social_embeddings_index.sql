-- The HNSW index of social_embeddings, for a ClickHouse server (25.8 or later). Run it once after `chctl migrate`:
--     clickhouse client --database chctl --queries-file deploy/clickhouse/social_embeddings_index.sql
-- It is no migration because the embedded engine knows no index of this type and would refuse it. A query uses it by
-- ORDER BY cosineDistance(embedding, <vector>) LIMIT n.
ALTER TABLE social_embeddings
    ADD INDEX IF NOT EXISTS embedding_index embedding TYPE vector_similarity('hnsw', 'cosineDistance', 512) GRANULARITY 100000000;

ALTER TABLE social_embeddings MATERIALIZE INDEX embedding_index;
