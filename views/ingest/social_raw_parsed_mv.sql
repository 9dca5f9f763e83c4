-- social_raw_parsed_mv: reads each line of topic social_raw as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills social_raw_parsed.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_parsed_mv TO social_raw_parsed
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Dynamic, source Nullable(String), author Nullable(String), language Nullable(String), text Nullable(String), url Nullable(String), symbols Array(String), engagement Dynamic, metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    tupleElement(r, 'source') AS in_source,
    tupleElement(r, 'author') AS in_author,
    tupleElement(r, 'language') AS in_language,
    tupleElement(r, 'text') AS in_text,
    tupleElement(r, 'url') AS in_url,
    tupleElement(r, 'symbols') AS in_symbols,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'engagement'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'engagement'), 'Int64'))) AS in_engagement,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_source IS NOT NULL, in_author IS NOT NULL, in_language IS NOT NULL, in_text IS NOT NULL, in_url IS NOT NULL, notEmpty(in_symbols), in_engagement IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_event_id, in_author, in_language, in_text, in_url, in_metadata])) AND (NOT match(raw, '"(symbols)"\\s*:\\s*\\[(?:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,)*\\s*[^"\\s\\]]')) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_social_raw;
