-- A heartbeat that the node has read ends the alert heartbeat_missing, which the alert feeder raised while none came back.
-- Grain: one row an open heartbeat_missing. Read by nobody: fills alerts. Cost: one block a minute.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_resolved_by_heartbeat_mv TO alerts AS
SELECT
    missing.alert_id AS alert_id,
    'heartbeat_missing' AS rule,
    missing.severity AS severity,
    'resolved' AS status,
    missing.entity AS entity,
    '' AS venue,
    '' AS symbol,
    toUInt64(0) AS user_id,
    missing.started_time AS started_time,
    greatest(beats.sent_time, missing.started_time) AS event_time,
    now64(3, 'UTC') AS raised_time,
    missing.value AS value,
    missing.baseline AS baseline,
    missing.threshold AS threshold,
    'heartbeats come back: the alert path works again' AS summary,
    missing.evidence AS evidence
FROM
(
    SELECT max(heartbeats_landing.sent_time) AS sent_time
    FROM heartbeats_landing
    WHERE reject_reason = ''
    HAVING count() > 0
) AS beats
CROSS JOIN
(
    SELECT *
    FROM alerts_open
    WHERE rule = 'heartbeat_missing'
) AS missing;
