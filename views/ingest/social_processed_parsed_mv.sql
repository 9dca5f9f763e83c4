-- social_processed_parsed_mv: reads each line of topic social_processed as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills social_processed_parsed through social_processed_gate.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_processed_parsed_mv TO social_processed_gate
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Nullable(Int64), processed_time Nullable(Int64), source Nullable(String), symbols Array(String), language Nullable(String), text Nullable(String), text_hash Nullable(UInt64), author_hash Nullable(String), sentiment_score Nullable(Float64), sentiment_label Nullable(String), confidence Nullable(Float64), tokens_count Nullable(Int64), engagement Nullable(UInt64), model Nullable(String), cost_usd Nullable(Float64), embedding Array(Float64), embedding_id Nullable(String), sampled_weight Nullable(Float64), metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'processed_time') AS in_processed_time,
    tupleElement(r, 'source') AS in_source,
    tupleElement(r, 'symbols') AS in_symbols,
    tupleElement(r, 'language') AS in_language,
    tupleElement(r, 'text') AS in_text,
    tupleElement(r, 'text_hash') AS in_text_hash,
    tupleElement(r, 'author_hash') AS in_author_hash,
    tupleElement(r, 'sentiment_score') AS in_sentiment_score,
    tupleElement(r, 'sentiment_label') AS in_sentiment_label,
    tupleElement(r, 'confidence') AS in_confidence,
    tupleElement(r, 'tokens_count') AS in_tokens_count,
    tupleElement(r, 'engagement') AS in_engagement,
    tupleElement(r, 'model') AS in_model,
    tupleElement(r, 'cost_usd') AS in_cost_usd,
    tupleElement(r, 'embedding') AS in_embedding,
    tupleElement(r, 'embedding_id') AS in_embedding_id,
    tupleElement(r, 'sampled_weight') AS in_sampled_weight,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:event_id|language|text|author_hash|model|embedding_id|metadata)"\\s*:\\s*[^"n\\s]|"(?:sentiment_score|confidence|cost_usd|sampled_weight)"\\s*:\\s*["tf\\[{]|"(?:event_time|processed_time|text_hash|tokens_count|engagement)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|"(?:symbols|embedding)"\\s*:\\s*[^\\[n\\s]|"(?:symbols)"\\s*:\\s*\\[(?:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,)*\\s*[^"\\s\\]]|"(?:embedding)"\\s*:\\s*\\[[-+0-9.eE,\\s]*[^-+0-9.eE,\\s\\]]|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_social_processed;
