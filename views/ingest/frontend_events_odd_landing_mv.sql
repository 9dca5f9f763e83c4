-- frontend_events_odd_landing_mv: looks closer at the odd rows of topic frontend_events and names the first breach of its contract.
-- Grain: one row. Read by nobody: fills frontend_events_landing.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
-- It looks at the names, those with a value (`filled`) and those whose value would be coerced (`mistyped`);
-- `ignore` is always false, and has these computed once instead of anew in each lazy branch.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_odd_landing_mv TO frontend_events_landing
AS SELECT
    ifNull(in_event_id, '') AS event_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_session_id, '') AS session_id,
    ifNull(in_user_id, 0) AS user_id,
    ifNull(in_event_type, '') AS event_type,
    ifNull(in_element, '') AS element,
    ifNull(in_page, '') AS page,
    ifNull(in_properties, '{}') AS properties,
    ifNull(in_ip_prefix, '') AS ip_prefix,
    ifNull(in_user_agent, '') AS user_agent,
    raw,
    multiIf(
        ignore(keys, filled, mistyped), '',
        JSONType(raw) != 'Object', 'not a JSON object',
        length(arrayDistinct(keys)) < length(keys), 'duplicate field',
        has(mistyped, 'event_id'), 'event_id: not a string',
        in_event_id IS NULL, 'event_id: missing',
        in_event_id = '', 'event_id: empty',
        length(in_event_id) > 64, 'event_id: longer than 64 bytes',
        has(mistyped, 'event_time'), 'event_time: not an integer',
        (in_event_time IS NULL) AND has(filled, 'event_time'), 'event_time: out of bounds',
        in_event_time IS NULL, 'event_time: missing',
        (in_event_time < 1230768000000) OR (in_event_time > latest_ms), 'event_time: out of bounds',
        has(mistyped, 'receive_time'), 'receive_time: not an integer',
        (in_receive_time IS NULL) AND has(filled, 'receive_time'), 'receive_time: out of bounds',
        in_receive_time IS NULL, 'receive_time: missing',
        (in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)), 'receive_time: out of bounds',
        has(mistyped, 'session_id'), 'session_id: not a string',
        in_session_id IS NULL, 'session_id: missing',
        in_session_id = '', 'session_id: empty',
        length(in_session_id) > 128, 'session_id: longer than 128 bytes',
        has(mistyped, 'user_id'), 'user_id: not an integer',
        (in_user_id IS NULL) AND has(filled, 'user_id'), 'user_id: out of bounds',
        has(mistyped, 'event_type'), 'event_type: not a string',
        in_event_type IS NULL, 'event_type: missing',
        in_event_type = '', 'event_type: empty',
        length(in_event_type) > 256, 'event_type: longer than 256 bytes',
        has(mistyped, 'element'), 'element: not a string',
        length(in_element) > 1024, 'element: longer than 1024 bytes',
        has(mistyped, 'page'), 'page: not a string',
        length(in_page) > 8192, 'page: longer than 8192 bytes',
        has(mistyped, 'properties'), 'properties: not a string',
        length(in_properties) > 65536, 'properties: longer than 65536 bytes',
        has(mistyped, 'ip_prefix'), 'ip_prefix: not a string',
        length(in_ip_prefix) > 64, 'ip_prefix: longer than 64 bytes',
        has(mistyped, 'user_agent'), 'user_agent: not a string',
        length(in_user_agent) > 256, 'user_agent: longer than 256 bytes',
        NOT hasAll(['event_id', 'event_time', 'receive_time', 'session_id', 'user_id', 'event_type', 'element', 'page', 'properties', 'ip_prefix', 'user_agent'], keys), concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has(['event_id', 'event_time', 'receive_time', 'session_id', 'user_id', 'event_type', 'element', 'page', 'properties', 'ip_prefix', 'user_agent'], k)), keys), 64)),
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
        arrayMap(p -> (p.1), arrayFilter(p -> ((p.2 != 'null') AND (concat(p.1, ':', multiIf(startsWith(p.2, '"'), 's', startsWith(p.2, '['), 'a', p.2 IN ('true', 'false'), 'b', match(p.2, '^-?[0-9]+$'), 'i', match(p.2, '^-?[0-9]'), 'd', '')) NOT IN ('event_id:s', 'event_time:i', 'receive_time:i', 'session_id:s', 'user_id:i', 'event_type:s', 'element:s', 'page:s', 'properties:s', 'ip_prefix:s', 'user_agent:s'))), pairs)) AS mistyped
    FROM frontend_events_odd
);
