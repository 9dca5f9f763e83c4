-- What happened to each alert, for those who must prove it: evidence, every attempt to tell somebody, acknowledgement,
-- resolution. Grain: one row an alert, for as long as it is kept. Read by: chctl alerts show, auditors, HyperDX.
-- As a HyperDX source: timestamp raised_time, body summary, severity severity, service rule, trace id trace_id.
CREATE VIEW IF NOT EXISTS alerts_history AS
SELECT
    raised.alert_id AS alert_id,
    raised.rule AS rule,
    owners.owner AS owner,
    raised.severity AS severity,
    raised.entity AS entity,
    raised.venue AS venue,
    raised.symbol AS symbol,
    raised.user_id AS user_id,
    raised.started_time AS started_time,
    raised.raised_time AS raised_time,
    raised.resolved_time AS resolved_time,
    raised.value AS value,
    raised.baseline AS baseline,
    raised.threshold AS threshold,
    raised.summary AS summary,
    raised.evidence AS evidence,
    lower(hex(MD5(raised.alert_id))) AS trace_id,
    acks.acknowledgements AS acknowledgements,
    attempts.attempts AS attempts,
    attempts.delivered_time AS delivered_time,
    attempts.delivered AS delivered,
    attempts.failed AS failed
FROM
(
    SELECT
        alert_id,
        any(alerts.rule) AS rule,
        argMin(alerts.severity, alerts.status) AS severity,
        any(alerts.entity) AS entity,
        any(alerts.venue) AS venue,
        any(alerts.symbol) AS symbol,
        any(alerts.user_id) AS user_id,
        min(alerts.started_time) AS started_time,
        min(alerts.raised_time) AS raised_time,
        maxOrNullIf(alerts.raised_time, alerts.status = 'resolved') AS resolved_time,
        argMin(alerts.value, alerts.status) AS value,
        argMin(alerts.baseline, alerts.status) AS baseline,
        argMin(alerts.threshold, alerts.status) AS threshold,
        argMin(alerts.summary, alerts.status) AS summary,
        argMin(alerts.evidence, alerts.status) AS evidence
    FROM alerts
    GROUP BY alert_id
) AS raised
LEFT JOIN
(
    SELECT
        alert_id,
        groupArray((acked_time, acked_by, note)) AS acknowledgements
    FROM alert_acks
    GROUP BY alert_id
) AS acks ON acks.alert_id = raised.alert_id
LEFT JOIN
(
    SELECT
        alert_id,
        arraySort(groupArray((alert_deliveries.attempted_time, status, channel, step, attempt, outcome, http_status, error, latency_ms, idempotency_key))) AS attempts,
        minOrNullIf(alert_deliveries.attempted_time, outcome = 'delivered') AS delivered_time,
        countIf(outcome = 'delivered') AS delivered,
        countIf(outcome = 'failed') AS failed
    FROM alert_deliveries
    GROUP BY alert_id
) AS attempts ON attempts.alert_id = raised.alert_id
LEFT JOIN
(
    SELECT
        rule,
        owner
    FROM rule_owners FINAL
) AS owners ON owners.rule = raised.rule;
