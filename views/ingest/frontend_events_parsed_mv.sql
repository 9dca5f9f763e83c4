-- frontend_events_parsed_mv: reads each line of topic frontend_events as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills frontend_events_parsed through frontend_events_gate.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_parsed_mv TO frontend_events_gate
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Nullable(Int64), receive_time Nullable(Int64), session_id Nullable(String), user_id Nullable(UInt64), event_type Nullable(String), element Nullable(String), page Nullable(String), properties Nullable(String), ip_prefix Nullable(String), user_agent Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'receive_time') AS in_receive_time,
    tupleElement(r, 'session_id') AS in_session_id,
    tupleElement(r, 'user_id') AS in_user_id,
    tupleElement(r, 'event_type') AS in_event_type,
    tupleElement(r, 'element') AS in_element,
    tupleElement(r, 'page') AS in_page,
    tupleElement(r, 'properties') AS in_properties,
    tupleElement(r, 'ip_prefix') AS in_ip_prefix,
    tupleElement(r, 'user_agent') AS in_user_agent,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:event_id|session_id|event_type|element|page|properties|ip_prefix|user_agent)"\\s*:\\s*[^"n\\s]|"(?:event_time|receive_time|user_id)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_frontend_events;
