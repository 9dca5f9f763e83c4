-- Ends alerts of the rule health: no failing look for resolve_s, nor within flap_s after that (alerts_fired_mv). By the
-- clock, since a node in trouble may hear no market.
-- Grain: one row an alert that has ended. Parameters: resolve_s and flap_s of health.
-- The open alerts are chosen a level below: beside `'health' AS rule`, WHERE would compare that constant with itself.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_resolved_by_health_mv
REFRESH EVERY 1 MINUTE APPEND TO alerts AS
SELECT
    alert_id,
    'health' AS rule,
    severity,
    'resolved' AS status,
    entity,
    '' AS venue,
    '' AS symbol,
    toUInt64(0) AS user_id,
    started_time,
    now64(3, 'UTC') - toIntervalSecond(toUInt32(dictGetOrDefault('alert_thresholds', 'value', ('health', '*', 'flap_s'), toFloat64(60)))) AS event_time,
    now64(3, 'UTC') AS raised_time,
    value,
    baseline,
    threshold,
    concat(entity, ': well again for ', toString(toUInt32(dictGet('alert_thresholds', 'value', ('health', '*', 'resolve_s')) + dictGetOrDefault('alert_thresholds', 'value', ('health', '*', 'flap_s'), toFloat64(60)))), ' s') AS summary,
    evidence
FROM
(
    SELECT *
    FROM alerts_open
    WHERE rule = 'health'
)
WHERE entity NOT IN (
    SELECT entity
    FROM alert_signals
    WHERE (rule = 'health') AND (second > (now() - (dictGet('alert_thresholds', 'value', ('health', '*', 'resolve_s')) + dictGetOrDefault('alert_thresholds', 'value', ('health', '*', 'flap_s'), toFloat64(60)))))
);
