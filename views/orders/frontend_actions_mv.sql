-- The valid rows of frontend_events into frontend_actions.
CREATE MATERIALIZED VIEW IF NOT EXISTS frontend_actions_mv TO frontend_actions AS
SELECT
    event_time,
    session_id,
    ifNull(user_id, 0) AS user_id,
    event_type,
    ifNull(element, '') AS element,
    ifNull(page, '') AS page,
    ifNull(properties, '{}') AS properties,
    ifNull(ip_prefix, '') AS ip_prefix,
    ifNull(user_agent, '') AS user_agent,
    event_id,
    receive_time,
    partition,
    offset
FROM frontend_events_landing
WHERE reject_reason = '';
