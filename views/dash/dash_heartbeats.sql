-- The alert path, once a minute: when a heartbeat was sent, when the node made an alert of it, when the feeder had it back and
-- a channel took it. Grain: one row a heartbeat. Read by: dash_health, Pipeline health, chctl doctor.
-- `http_status` is 0 where no CHCTL_HEARTBEAT_URL is set: then nobody outside notices that all of this is gone.
CREATE VIEW IF NOT EXISTS dash_heartbeats AS
SELECT
    beats.sender AS sender,
    beats.started_time AS sent_time,
    beats.raised_time AS raised_time,
    told.delivered_time AS delivered_time,
    told.outcome AS outcome,
    told.http_status AS http_status,
    told.error AS error,
    dateDiff('millisecond', beats.started_time, beats.raised_time) AS to_outbox_ms,
    if(told.outcome = 'delivered', dateDiff('millisecond', beats.raised_time, told.delivered_time), NULL) AS to_channel_ms
FROM
(
    SELECT
        alert_id,
        started_time,
        any(JSONExtractString(evidence, 'sender')) AS sender,
        min(alerts.raised_time) AS raised_time
    FROM alerts
    WHERE rule = 'heartbeat'
    GROUP BY
        alert_id,
        started_time
) AS beats
LEFT JOIN
(
    SELECT
        alert_id,
        argMax(alert_deliveries.outcome, (attempted_time, alert_deliveries.outcome != 'queued')) AS outcome,
        argMax(alert_deliveries.http_status, (attempted_time, alert_deliveries.outcome != 'queued')) AS http_status,
        argMax(alert_deliveries.error, (attempted_time, alert_deliveries.outcome != 'queued')) AS error,
        max(attempted_time) AS delivered_time
    FROM alert_deliveries
    WHERE channel = 'heartbeat'
    GROUP BY alert_id
) AS told ON told.alert_id = beats.alert_id;
