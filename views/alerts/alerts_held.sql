-- Whether nobody is to be told of an alert just now, and why: a silence or a maintenance window fits it, or it flaps.
-- An alert flaps when it came back within flap_s (alert_rules, per rule; 60 s where a rule has no row) of the last end of
-- the same rule and entity, both in event time: it is told only if it lasts flap_s itself. Of a rule that signals, what
-- comes back so soon is the same alert still (alerts_fired_mv). The alert about a failed channel is never held.
-- Grain: one row an alert of the last day that was raised as firing; `reason` is empty where it may be told. An alert
-- that is still open when its reason goes is told then. Read by: feeders/alerts.py, chctl alerts list.
CREATE VIEW IF NOT EXISTS alerts_held AS
SELECT
    alert_id,
    raised AS raised_time,
    flaps,
    multiIf(rule IN ('delivery_failed', 'channel_test'), '', silence != '', silence, flaps AND (now64(3, 'UTC') < (raised + toIntervalMillisecond(toUInt64(1000 * flap_s)))), concat('flaps: back ', toString(dateDiff('second', last_end, begun)), ' s after its end, told if it lasts ', toString(flap_s), ' s'), '') AS reason
FROM
(
    SELECT
        fired.alert_id AS alert_id,
        any(fired.rule) AS rule,
        any(fired.raised) AS raised,
        any(fired.begun) AS begun,
        any(fired.last_end) AS last_end,
        any(fired.flap_s) AS flap_s,
        any(fired.flaps) AS flaps,
        argMaxIf(silences.says, silences.ends_time, arrayAll((field, glob) -> match(fired.fields[field], concat('(?s)^', replaceAll(replaceAll(replaceAll(replaceRegexpAll(glob, '[.+^${}()|\\\\]', '\\\\\\0'), '[!', '[^'), '*', '.*'), '?', '.'), '$')), mapKeys(silences.matchers), mapValues(silences.matchers)) AND (silences.says != '')) AS silence
    FROM
    (
        SELECT
            alert_id,
            rule,
            raised,
            begun,
            last_end,
            flap_s,
            (last_end > toDateTime64(0, 3, 'UTC')) AND (begun < (last_end + toIntervalMillisecond(toUInt64(1000 * flap_s)))) AS flaps,
            map('rule', toString(rule), 'severity', if(owned_severity IN ('info', 'warning', 'critical'), toString(owned_severity), toString(severity)), 'status', 'firing', 'entity', entity, 'venue', toString(venue), 'symbol', toString(symbol), 'user_id', toString(user_id)) AS fields
        FROM
        (
            SELECT
                *,
                dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'flap_s'), toFloat64(60)) AS flap_s,
                max(ended) OVER (PARTITION BY rule, entity ORDER BY begun ASC, alert_id ASC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last_end
            FROM
            (
                SELECT
                    alert_id,
                    any(rule) AS rule,
                    any(severity) AS severity,
                    any(entity) AS entity,
                    any(venue) AS venue,
                    any(symbol) AS symbol,
                    any(user_id) AS user_id,
                    any(started_time) AS begun,
                    minIf(raised_time, status = 'firing') AS raised,
                    maxIf(event_time, status = 'resolved') AS ended
                FROM alerts
                WHERE raised_time > (now64(3, 'UTC') - toIntervalDay(1))
                GROUP BY alert_id
            )
        ) AS known
        LEFT JOIN
        (
            SELECT
                rule,
                severity AS owned_severity
            FROM rule_owners FINAL
        ) AS owners ON owners.rule = known.rule
        WHERE toUnixTimestamp64Milli(raised) > 0
    ) AS fired
    LEFT JOIN
    (
        SELECT
            1 AS one,
            matchers,
            ends_time,
            concat(kind, ' ', silence_id, ' by ', who, ': ', why) AS says
        FROM alert_silences FINAL
        WHERE (starts_time <= now64(3, 'UTC')) AND (ends_time > now64(3, 'UTC'))
    ) AS silences ON silences.one = (toUnixTimestamp64Milli(fired.raised) > 0)
    GROUP BY fired.alert_id
);
