-- social_raw_parsed_mv: reads each line of topic social_raw as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills social_raw_parsed through social_raw_gate.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_parsed_mv TO social_raw_gate
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Nullable(Int64), source Nullable(String), author Nullable(String), language Nullable(String), text Nullable(String), url Nullable(String), symbols Array(String), engagement Nullable(UInt64), metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'source') AS in_source,
    tupleElement(r, 'author') AS in_author,
    tupleElement(r, 'language') AS in_language,
    tupleElement(r, 'text') AS in_text,
    tupleElement(r, 'url') AS in_url,
    tupleElement(r, 'symbols') AS in_symbols,
    tupleElement(r, 'engagement') AS in_engagement,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:event_id|author|language|text|url|metadata)"\\s*:\\s*[^"n\\s]|"(?:event_time|engagement)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|"(?:symbols)"\\s*:\\s*[^\\[n\\s]|"(?:symbols)"\\s*:\\s*\\[(?:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,)*\\s*[^"\\s\\]]|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_social_raw;
