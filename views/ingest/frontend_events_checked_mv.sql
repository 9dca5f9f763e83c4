-- frontend_events_checked_mv: tells the rows of topic frontend_events that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills frontend_events_checked.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_events_checked_mv TO frontend_events_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
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
    (NOT foreign) AND (names = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_session_id IS NOT NULL, in_user_id IS NOT NULL, in_event_type IS NOT NULL, in_element IS NOT NULL, in_page IS NOT NULL, in_properties IS NOT NULL, in_ip_prefix IS NOT NULL, in_user_agent IS NOT NULL]))) AND (NOT ifNull(
        (in_event_id IS NULL)
        OR (in_event_id = '')
        OR (length(in_event_id) > 64)
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_receive_time IS NULL)
        OR ((in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)))
        OR (in_session_id IS NULL)
        OR (in_session_id = '')
        OR (length(in_session_id) > 128)
        OR (in_event_type IS NULL)
        OR (in_event_type = '')
        OR (length(in_event_type) > 256)
        OR (length(in_element) > 1024)
        OR (length(in_page) > 8192)
        OR (length(in_properties) > 65536)
        OR (length(in_ip_prefix) > 64)
        OR (length(in_user_agent) > 256)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM frontend_events_parsed;
