-- social_processed_odd_mv: takes out the rows of topic social_processed that need a closer look.
-- Grain: one line of a message. Read by nobody: fills social_processed_odd.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_processed_odd_mv TO social_processed_odd
AS SELECT
    in_event_id,
    in_event_time,
    in_processed_time,
    in_source,
    in_symbols,
    in_language,
    in_text,
    in_text_hash,
    in_author_hash,
    in_sentiment_score,
    in_sentiment_label,
    in_confidence,
    in_tokens_count,
    in_engagement,
    in_model,
    in_cost_usd,
    in_embedding,
    in_embedding_id,
    in_sampled_weight,
    in_metadata,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM social_processed_checked
WHERE NOT valid;
