-- social_processed_parsed_mv: reads each line of topic social_processed as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills social_processed_parsed.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_processed_parsed_mv TO social_processed_parsed
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Dynamic, processed_time Dynamic, source Nullable(String), symbols Array(String), language Nullable(String), text Nullable(String), text_hash Dynamic, author_hash Nullable(String), sentiment_score Dynamic, sentiment_label Nullable(String), confidence Dynamic, tokens_count Dynamic, engagement Dynamic, model Nullable(String), cost_usd Dynamic, embedding Array(Float64), embedding_id Nullable(String), sampled_weight Dynamic, metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'processed_time'), 'Int64') AS in_processed_time,
    tupleElement(r, 'source') AS in_source,
    tupleElement(r, 'symbols') AS in_symbols,
    tupleElement(r, 'language') AS in_language,
    tupleElement(r, 'text') AS in_text,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'text_hash'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'text_hash'), 'Int64'))) AS in_text_hash,
    tupleElement(r, 'author_hash') AS in_author_hash,
    ifNull(dynamicElement(tupleElement(r, 'sentiment_score'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'sentiment_score'), 'Int64'))) AS in_sentiment_score,
    tupleElement(r, 'sentiment_label') AS in_sentiment_label,
    ifNull(dynamicElement(tupleElement(r, 'confidence'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'confidence'), 'Int64'))) AS in_confidence,
    dynamicElement(tupleElement(r, 'tokens_count'), 'Int64') AS in_tokens_count,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'engagement'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'engagement'), 'Int64'))) AS in_engagement,
    tupleElement(r, 'model') AS in_model,
    ifNull(dynamicElement(tupleElement(r, 'cost_usd'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'cost_usd'), 'Int64'))) AS in_cost_usd,
    tupleElement(r, 'embedding') AS in_embedding,
    tupleElement(r, 'embedding_id') AS in_embedding_id,
    ifNull(dynamicElement(tupleElement(r, 'sampled_weight'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'sampled_weight'), 'Int64'))) AS in_sampled_weight,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_processed_time IS NOT NULL, in_source IS NOT NULL, notEmpty(in_symbols), in_language IS NOT NULL, in_text IS NOT NULL, in_text_hash IS NOT NULL, in_author_hash IS NOT NULL, in_sentiment_score IS NOT NULL, in_sentiment_label IS NOT NULL, in_confidence IS NOT NULL, in_tokens_count IS NOT NULL, in_engagement IS NOT NULL, in_model IS NOT NULL, in_cost_usd IS NOT NULL, notEmpty(in_embedding), in_embedding_id IS NOT NULL, in_sampled_weight IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_event_id, in_language, in_text, in_author_hash, in_model, in_embedding_id, in_metadata])) AND (NOT match(raw, '"(symbols)"\\s*:\\s*\\[(?:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,)*\\s*[^"\\s\\]]|"(embedding)"\\s*:\\s*\\[[-+0-9.eE,\\s]*[^-+0-9.eE,\\s\\]]')) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_social_processed;
