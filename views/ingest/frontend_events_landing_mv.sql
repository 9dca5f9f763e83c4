-- frontend_events_landing_mv: types the rows of topic frontend_events that obey its contract.
-- Grain: one row. Read by nobody: fills frontend_events_landing, together with frontend_events_odd_landing_mv.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_landing_mv TO frontend_events_landing
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
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM frontend_events_checked
WHERE valid;
