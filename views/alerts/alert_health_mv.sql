-- Rule health: what chctl's own checks call a failure, as a signal a minute; alerts_fired_mv makes alerts of them and
-- alerts_resolved_by_health_mv ends them. The heartbeat is left out: its absence is told by the alert feeder.
-- Grain: one signal a (check, subject, minute) in which it fails. Parameters: see migrations/0061_add_health_rule.sql.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_health_mv
REFRESH EVERY 1 MINUTE APPEND TO alert_signals AS
SELECT
    'health' AS rule,
    'critical' AS severity,
    concat(check, ':', subject) AS entity,
    '' AS venue,
    '' AS symbol,
    toUInt64(0) AS user_id,
    toDateTime(now(), 'UTC') AS second,
    ifNull(dash_health.value, 0) AS value,
    toFloat64(0) AS baseline,
    bound AS threshold,
    concat(check, ' ', subject, ': ', says) AS summary,
    toJSONString(map('check', check, 'subject', toString(subject), 'unit', unit, 'todo', todo)) AS evidence,
    now64(3, 'UTC') AS signalled_time
FROM dash_health
WHERE (status = 'fail') AND (check != 'heartbeat') AND (dictGet('alert_thresholds', 'value', ('health', '*', 'enabled')) > 0);
