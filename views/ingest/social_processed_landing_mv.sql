-- social_processed_landing_mv: types the rows of topic social_processed that obey its contract.
-- Grain: one row. Read by nobody: fills social_processed_landing, together with social_processed_odd_landing_mv.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_processed_landing_mv TO social_processed_landing
AS SELECT
    ifNull(in_event_id, '') AS event_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Milli(ifNull(in_processed_time, 0), 'UTC') AS processed_time,
    ifNull(in_source, '') AS source,
    in_symbols AS symbols,
    ifNull(in_language, '') AS language,
    ifNull(in_text, '') AS text,
    ifNull(in_text_hash, 0) AS text_hash,
    ifNull(in_author_hash, '') AS author_hash,
    ifNull(in_sentiment_score, 0) AS sentiment_score,
    ifNull(in_sentiment_label, '') AS sentiment_label,
    ifNull(in_confidence, 0) AS confidence,
    toUInt32(ifNull(in_tokens_count, 0)) AS tokens_count,
    ifNull(in_engagement, 0) AS engagement,
    ifNull(in_model, '') AS model,
    ifNull(in_cost_usd, 0) AS cost_usd,
    CAST(in_embedding, 'Array(Float32)') AS embedding,
    ifNull(in_embedding_id, '') AS embedding_id,
    ifNull(in_sampled_weight, 0) AS sampled_weight,
    ifNull(in_metadata, '') AS metadata,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM social_processed_checked
WHERE valid;
