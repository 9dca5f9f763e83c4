-- The HNSW index of social_embeddings, where the engine has that index type: a ClickHouse server from 25.8 on. The
-- embedded node is built without it and scans: with it or without, ORDER BY cosineDistance(embedding, <vector>) LIMIT n
-- gives the nearest posts. On a table that holds rows, ALTER TABLE social_embeddings MATERIALIZE INDEX embedding_index
-- indexes them at once; without it they are indexed as their parts merge.

-- optional: Unknown Index type
ALTER TABLE social_embeddings
    ADD INDEX IF NOT EXISTS embedding_index embedding TYPE vector_similarity('hnsw', 'cosineDistance', 512) GRANULARITY 100000000;
