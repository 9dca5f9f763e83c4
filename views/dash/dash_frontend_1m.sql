-- Browser events per minute: how many, of how many sessions and people.
-- Grain: one row a (minute, event_type, page). Read by: the Surveillance dashboard.
CREATE VIEW IF NOT EXISTS dash_frontend_1m AS
SELECT
    toStartOfMinute(event_time) AS minute,
    event_type,
    page,
    uniqExact(session_id, event_id) AS events,
    uniqExact(session_id) AS sessions,
    uniqExactIf(user_id, user_id != 0) AS users
FROM frontend_actions
GROUP BY
    minute,
    event_type,
    page;
