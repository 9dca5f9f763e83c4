-- social_processed_checked_mv: tells the rows of topic social_processed that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills social_processed_checked.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_processed_checked_mv TO social_processed_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
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
    (NOT foreign) AND (names = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_processed_time IS NOT NULL, in_source IS NOT NULL, notEmpty(in_symbols), in_language IS NOT NULL, in_text IS NOT NULL, in_text_hash IS NOT NULL, in_author_hash IS NOT NULL, in_sentiment_score IS NOT NULL, in_sentiment_label IS NOT NULL, in_confidence IS NOT NULL, in_tokens_count IS NOT NULL, in_engagement IS NOT NULL, in_model IS NOT NULL, in_cost_usd IS NOT NULL, notEmpty(in_embedding), in_embedding_id IS NOT NULL, in_sampled_weight IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT ifNull(
        (in_event_id IS NULL)
        OR (in_event_id = '')
        OR (length(in_event_id) > 256)
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_processed_time IS NULL)
        OR ((in_processed_time < 1230768000000) OR (in_processed_time > latest_ms))
        OR (in_source NOT IN ('twitter', 'reddit', 'news', 'telegram', 'onchain'))
        OR (in_source IS NULL)
        OR (length(in_symbols) > 64)
        OR (arrayExists(x -> (length(x) > 256), in_symbols))
        OR (length(in_language) > 16)
        OR (in_text IS NULL)
        OR (length(in_text) > 65536)
        OR (in_text_hash IS NULL)
        OR (length(in_author_hash) > 64)
        OR (in_sentiment_score IS NULL)
        OR ((in_sentiment_score < -1) OR (in_sentiment_score > 1))
        OR (in_sentiment_label NOT IN ('negative', 'neutral', 'positive'))
        OR (in_sentiment_label IS NULL)
        OR (in_confidence IS NULL)
        OR ((in_confidence < 0) OR (in_confidence > 1))
        OR (in_tokens_count IS NULL)
        OR ((in_tokens_count < 0) OR (in_tokens_count > 4294967295))
        OR (in_model IS NULL)
        OR (in_model = '')
        OR (length(in_model) > 128)
        OR ((in_cost_usd < 0) OR (in_cost_usd > 1000))
        OR (length(in_embedding) > 4096)
        OR ((arrayMin(in_embedding) < -3.4028234663852886e+38) OR (arrayMax(in_embedding) > 3.4028234663852886e+38))
        OR (length(in_embedding_id) > 64)
        OR (in_sampled_weight IS NULL)
        OR ((in_sampled_weight < 0) OR (in_sampled_weight > 1000000000000))
        OR (length(in_metadata) > 16384)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM social_processed_parsed;
