-- The valid logins of user_actions into user_logins.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_logins_mv TO user_logins AS
SELECT
    event_time,
    user_id,
    action,
    ifNull(metadata, '') AS metadata,
    event_id
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('login', 'login_failed'));
