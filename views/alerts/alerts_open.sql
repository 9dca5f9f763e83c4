-- The alerts that fire now: raised, not resolved; who took them on, and what was told to which channel.
-- Grain: one row an alert. Read by: chctl alerts list, feeders/alerts.py (repeats, escalation, silences that end),
-- dashboards. `pages`: per channel the latest step, its time and whether it ended in delivered, failed or suppressed.
CREATE VIEW IF NOT EXISTS alerts_open AS
SELECT
    firing.alert_id AS alert_id,
    firing.rule AS rule,
    firing.severity AS severity,
    firing.status AS status,
    firing.entity AS entity,
    firing.venue AS venue,
    firing.symbol AS symbol,
    firing.user_id AS user_id,
    firing.started_time AS started_time,
    firing.event_time AS event_time,
    firing.raised_time AS raised_time,
    firing.value AS value,
    firing.baseline AS baseline,
    firing.threshold AS threshold,
    firing.summary AS summary,
    firing.evidence AS evidence,
    acks.acked_by AS acked_by,
    acks.acked_time AS acked_time,
    acks.note AS ack_note,
    told.pages AS pages
FROM
(
    SELECT *
    FROM alerts FINAL
    WHERE (status = 'firing') AND (alert_id NOT IN (
        SELECT alert_id
        FROM alerts
        WHERE status = 'resolved'
    ))
) AS firing
LEFT JOIN
(
    SELECT
        alert_id,
        argMin(acked_by, alert_acks.acked_time) AS acked_by,
        argMin(note, alert_acks.acked_time) AS note,
        min(alert_acks.acked_time) AS acked_time
    FROM alert_acks
    GROUP BY alert_id
) AS acks ON acks.alert_id = firing.alert_id
LEFT JOIN
(
    SELECT
        alert_id,
        groupArray((channel, status, last_step, last_time, last_outcome)) AS pages
    FROM
    (
        SELECT
            alert_id,
            channel,
            status,
            max(step) AS last_step,
            max(attempted_time) AS last_time,
            argMax(outcome, (step, attempted_time, outcome != 'queued')) AS last_outcome
        FROM alert_deliveries
        WHERE alert_id NOT IN (
            SELECT alert_id
            FROM alerts
            WHERE status = 'resolved'
        )
        GROUP BY
            alert_id,
            channel,
            status
    )
    GROUP BY alert_id
) AS told ON told.alert_id = firing.alert_id;
