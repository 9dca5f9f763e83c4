-- Valid rows of social_processed as posts, one row a symbol that they are about. See social_buzz.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_buzz_mv TO social_buzz AS
SELECT
    event_time,
    arrayJoin(if(empty(symbols), [''], arrayDistinct(symbols))) AS symbol,
    source,
    event_id,
    ifNull(language, '') AS language,
    text,
    text_hash,
    ifNull(author_hash, '') AS author_hash,
    sentiment_score,
    sentiment_label,
    confidence,
    tokens_count,
    ifNull(engagement, 0) AS engagement,
    model,
    ifNull(cost_usd, 0) AS cost_usd,
    ifNull(embedding_id, '') AS embedding_id,
    sampled_weight,
    ifNull(metadata, '') AS metadata,
    processed_time
FROM social_processed_landing
WHERE reject_reason = '';
