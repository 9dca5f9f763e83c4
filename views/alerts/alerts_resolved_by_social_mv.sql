-- Ends alerts of the social rules: no bad minute for resolve_s of event time. Any post moves the clock.
-- Grain: one row when a situation has ended, per (rule, entity). Parameter: resolve_s, per rule.
-- The clock is the median of the inserted block and never ahead of the node's, so that one post with a wrong time ends
-- nothing; it stands leftmost, for the leftmost table is what triggers the view. Cost: reads one day of alerts, and of their signals the last second.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_resolved_by_social_mv TO alerts AS
WITH
    clock AS
    (
        SELECT least(toDateTime(quantileExact(0.5)(minute), 'UTC'), now('UTC')) AS stream_time
        FROM social_1m
    ),
    open AS
    (
        SELECT
            alert_id,
            any(alerts.rule) AS rule,
            any(alerts.entity) AS entity,
            any(alerts.severity) AS severity,
            any(alerts.venue) AS place,
            any(alerts.symbol) AS asset,
            any(alerts.started_time) AS begun,
            any(alerts.value) AS value,
            any(alerts.baseline) AS baseline,
            any(alerts.threshold) AS threshold,
            any(alerts.evidence) AS evidence
        FROM alerts
        WHERE (alerts.started_time > ((SELECT stream_time FROM clock) - INTERVAL 1 DAY)) AND (alerts.rule IN ('sentiment_shock', 'buzz_burst'))
        GROUP BY alert_id
        HAVING countIf(status = 'resolved') = 0
    )
SELECT
    alert_id,
    rule,
    severity,
    'resolved' AS status,
    entity,
    place AS venue,
    asset AS symbol,
    0 AS user_id,
    begun AS started_time,
    toDateTime64(last_bad + toUInt32(resolve_s), 3, 'UTC') AS event_time,
    value,
    baseline,
    threshold,
    concat(entity, ': ', rule, ' has not been seen for ', toString(resolve_s), ' s') AS summary,
    evidence
FROM
(
    SELECT
        stream_time,
        alert_id,
        open.rule AS rule,
        open.entity AS entity,
        severity,
        place,
        asset,
        begun,
        value,
        baseline,
        threshold,
        evidence,
        last_bad,
        dictGetOrDefault('alert_thresholds', 'value', (open.rule, '*', 'resolve_s'), 600) AS resolve_s
    FROM clock
    CROSS JOIN open
    INNER JOIN
    (
        SELECT
            rule,
            entity,
            max(second) AS last_bad
        FROM alert_signals
        WHERE (rule, entity) IN (SELECT rule, entity FROM open)
        GROUP BY
            rule,
            entity
    ) AS signals ON (signals.rule = open.rule) AND (signals.entity = open.entity)
)
WHERE (last_bad + toUInt32(resolve_s)) < stream_time;
