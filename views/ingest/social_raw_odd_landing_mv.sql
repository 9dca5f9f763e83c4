-- social_raw_odd_landing_mv: looks closer at the odd rows of topic social_raw and names the first breach of its contract.
-- Grain: one row. Read by nobody: fills social_raw_landing.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
-- It looks at the names, those with a value (`filled`) and those whose value would be coerced (`mistyped`);
-- `ignore` is always false, and has these computed once instead of anew in each lazy branch.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_odd_landing_mv TO social_raw_landing
AS SELECT
    ifNull(in_event_id, '') AS event_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    ifNull(in_source, '') AS source,
    in_author AS author,
    in_language AS language,
    ifNull(in_text, '') AS text,
    in_url AS url,
    in_symbols AS symbols,
    in_engagement AS engagement,
    in_metadata AS metadata,
    raw,
    multiIf(
        ignore(keys, filled, mistyped), '',
        JSONType(raw) != 'Object', 'not a JSON object',
        length(arrayDistinct(keys)) < length(keys), 'duplicate field',
        has(mistyped, 'event_id'), 'event_id: not a string',
        in_event_id IS NULL, 'event_id: missing',
        in_event_id = '', 'event_id: empty',
        length(in_event_id) > 256, 'event_id: longer than 256 bytes',
        has(mistyped, 'event_time'), 'event_time: not an integer',
        (in_event_time IS NULL) AND has(filled, 'event_time'), 'event_time: out of bounds',
        in_event_time IS NULL, 'event_time: missing',
        (in_event_time < 1230768000000) OR (in_event_time > latest_ms), 'event_time: out of bounds',
        in_source NOT IN ('twitter', 'reddit', 'news', 'telegram', 'onchain'), 'source: not one of twitter, reddit, news, telegram, onchain',
        in_source IS NULL, 'source: missing',
        has(mistyped, 'author'), 'author: not a string',
        length(in_author) > 256, 'author: longer than 256 bytes',
        has(mistyped, 'language'), 'language: not a string',
        length(in_language) > 16, 'language: longer than 16 bytes',
        has(mistyped, 'text'), 'text: not a string',
        in_text IS NULL, 'text: missing',
        length(in_text) > 65536, 'text: longer than 65536 bytes',
        has(mistyped, 'url'), 'url: not a string',
        length(in_url) > 2048, 'url: longer than 2048 bytes',
        has(mistyped, 'symbols'), 'symbols: not an array of strings',
        length(in_symbols) > 64, 'symbols: more than 64 items',
        arrayExists(x -> (length(x) > 256), in_symbols), 'symbols: an item longer than 256 bytes',
        has(mistyped, 'engagement'), 'engagement: not an integer',
        (in_engagement IS NULL) AND has(filled, 'engagement'), 'engagement: out of bounds',
        has(mistyped, 'metadata'), 'metadata: not a string',
        length(in_metadata) > 16384, 'metadata: longer than 16384 bytes',
        NOT hasAll(['event_id', 'event_time', 'source', 'author', 'language', 'text', 'url', 'symbols', 'engagement', 'metadata'], keys), concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has(['event_id', 'event_time', 'source', 'author', 'language', 'text', 'url', 'symbols', 'engagement', 'metadata'], k)), keys), 64)),
        '') AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM
(
    SELECT
        *,
        toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms,
        JSONExtractKeysAndValuesRaw(raw) AS pairs,
        arrayMap(p -> (p.1), pairs) AS keys,
        arrayMap(p -> (p.1), arrayFilter(p -> (p.2 != 'null'), pairs)) AS filled,
        arrayConcat(arrayMap(p -> (p.1), arrayFilter(p -> ((p.2 != 'null') AND (concat(p.1, ':', multiIf(startsWith(p.2, '"'), 's', startsWith(p.2, '['), 'a', p.2 IN ('true', 'false'), 'b', match(p.2, '^-?[0-9]+$'), 'i', match(p.2, '^-?[0-9]'), 'd', '')) NOT IN ('event_id:s', 'event_time:i', 'source:s', 'author:s', 'language:s', 'text:s', 'url:s', 'symbols:a', 'engagement:i', 'metadata:s'))), pairs)), extractAll(raw, '"(symbols)"\\s*:\\s*\\[(?:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,)*\\s*[^"\\s\\]]')) AS mistyped
    FROM social_raw_odd
);
