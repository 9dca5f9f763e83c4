-- frontend_events_odd_mv: takes out the rows of topic frontend_events that need a closer look.
-- Grain: one line of a message. Read by nobody: fills frontend_events_odd.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_odd_mv TO frontend_events_odd
AS SELECT
    in_event_id,
    in_event_time,
    in_receive_time,
    in_session_id,
    in_user_id,
    in_event_type,
    in_element,
    in_page,
    in_properties,
    in_ip_prefix,
    in_user_agent,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM frontend_events_checked
WHERE NOT valid;
