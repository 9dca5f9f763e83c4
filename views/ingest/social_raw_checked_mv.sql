-- social_raw_checked_mv: tells the rows of topic social_raw that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills social_raw_checked.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_checked_mv TO social_raw_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
    in_event_id,
    in_event_time,
    in_source,
    in_author,
    in_language,
    in_text,
    in_url,
    in_symbols,
    in_engagement,
    in_metadata,
    raw,
    (NOT foreign) AND (names = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_source IS NOT NULL, in_author IS NOT NULL, in_language IS NOT NULL, in_text IS NOT NULL, in_url IS NOT NULL, notEmpty(in_symbols), in_engagement IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT ifNull(
        (in_event_id IS NULL)
        OR (in_event_id = '')
        OR (length(in_event_id) > 256)
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_source NOT IN ('twitter', 'reddit', 'news', 'telegram', 'onchain'))
        OR (in_source IS NULL)
        OR (length(in_author) > 256)
        OR (length(in_language) > 16)
        OR (in_text IS NULL)
        OR (length(in_text) > 65536)
        OR (length(in_url) > 2048)
        OR (length(in_symbols) > 64)
        OR (arrayExists(x -> (length(x) > 256), in_symbols))
        OR (length(in_metadata) > 16384)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM social_raw_parsed;
