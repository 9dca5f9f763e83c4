-- Telling people, as operations looks at it: messages and delay per minute, channel and outcome. A message that failed
-- for good stands here as failed until its channel is mended. Grain: one row a (minute, channel, outcome).
-- Read by: the Alerts dashboard. `delay_ms`: from the row in the outbox to the attempt, median and 99th percentile.
CREATE VIEW IF NOT EXISTS dash_deliveries AS
SELECT
    toStartOfMinute(deliveries.attempted_time) AS minute,
    deliveries.channel AS channel,
    deliveries.outcome AS outcome,
    uniqExact(deliveries.alert_id, deliveries.status, deliveries.step) AS messages,
    count() AS attempts,
    quantile(0.5)(dateDiff('millisecond', raised.raised_time, deliveries.attempted_time)) AS delay_ms_p50,
    quantile(0.99)(dateDiff('millisecond', raised.raised_time, deliveries.attempted_time)) AS delay_ms_p99,
    argMax(deliveries.error, deliveries.attempted_time) AS last_error
FROM alert_deliveries AS deliveries
LEFT JOIN
(
    SELECT
        alert_id,
        status,
        min(alerts.raised_time) AS raised_time
    FROM alerts
    GROUP BY
        alert_id,
        status
) AS raised ON (raised.alert_id = deliveries.alert_id) AND (raised.status = deliveries.status)
WHERE deliveries.outcome != 'queued'
GROUP BY
    minute,
    channel,
    outcome;
