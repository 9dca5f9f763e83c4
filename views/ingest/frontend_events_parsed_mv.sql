-- frontend_events_parsed_mv: reads each line of topic frontend_events as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills frontend_events_parsed.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_parsed_mv TO frontend_events_parsed
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Dynamic, receive_time Dynamic, session_id Nullable(String), user_id Dynamic, event_type Nullable(String), element Nullable(String), page Nullable(String), properties Nullable(String), ip_prefix Nullable(String), user_agent Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'receive_time'), 'Int64') AS in_receive_time,
    tupleElement(r, 'session_id') AS in_session_id,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'user_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'user_id'), 'Int64'))) AS in_user_id,
    tupleElement(r, 'event_type') AS in_event_type,
    tupleElement(r, 'element') AS in_element,
    tupleElement(r, 'page') AS in_page,
    tupleElement(r, 'properties') AS in_properties,
    tupleElement(r, 'ip_prefix') AS in_ip_prefix,
    tupleElement(r, 'user_agent') AS in_user_agent,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_session_id IS NOT NULL, in_user_id IS NOT NULL, in_event_type IS NOT NULL, in_element IS NOT NULL, in_page IS NOT NULL, in_properties IS NOT NULL, in_ip_prefix IS NOT NULL, in_user_agent IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_event_id, in_session_id, in_event_type, in_element, in_page, in_properties, in_ip_prefix, in_user_agent])) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_frontend_events;
