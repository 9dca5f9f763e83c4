-- Valid rows of social_processed as posts, one row a symbol that they are about. See social_buzz.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_buzz_mv TO social_buzz AS
SELECT
    event_time,
    arrayJoin(if(empty(symbols), [''], arrayDistinct(symbols))) AS symbol,
    source,
    event_id,
    language,
    text,
    text_hash,
    author_hash,
    sentiment_score,
    sentiment_label,
    confidence,
    tokens_count,
    engagement,
    model,
    cost_usd,
    embedding_id,
    sampled_weight,
    metadata,
    processed_time
FROM social_processed_landing
WHERE reject_reason = '';
