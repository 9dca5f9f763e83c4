-- Vectors that came with a post, one row a text. See social_embeddings; a vector of another size has no place in it.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_embeddings_mv TO social_embeddings AS
SELECT
    event_time,
    text_hash,
    event_id,
    engagement,
    embedding,
    processed_time
FROM social_processed_landing
WHERE (reject_reason = '') AND (length(embedding) = 512);
