-- Rule heartbeat: the alert path proves itself once a minute. Each row of the topic heartbeats becomes an alert that the
-- feeder must get back through outbox and topic, and hands to the channel `heartbeat` (CHCTL_HEARTBEAT_URL). It says that
-- all is well, hence `resolved`: it is never open. What the feeder raises when none comes back is heartbeat_missing.
-- Grain: one row an (alert, status). Read by nobody: fills alerts. Parameters: none. Cost: one block a minute.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_heartbeat_mv TO alerts AS
SELECT
    lower(hex(MD5(concat('heartbeat ', sender, ' ', toString(toUnixTimestamp64Milli(sent_time)))))) AS alert_id,
    'heartbeat' AS rule,
    'info' AS severity,
    'resolved' AS status,
    'alert_path' AS entity,
    '' AS venue,
    '' AS symbol,
    toUInt64(0) AS user_id,
    sent_time AS started_time,
    sent_time AS event_time,
    now64(3, 'UTC') AS raised_time,
    dateDiff('millisecond', sent_time, now64(3, 'UTC')) / 1000 AS value,
    toFloat64(0) AS baseline,
    toFloat64(0) AS threshold,
    concat('heartbeat of ', sender) AS summary,
    toJSONString(map('sender', sender, 'kafka_time', toString(kafka_time))) AS evidence
FROM heartbeats_landing
WHERE reject_reason = '';
