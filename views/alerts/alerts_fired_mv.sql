-- Turns bad seconds into alerts: fires where an entity that has no open alert of the rule has been bad in at least
-- persist_signals seconds of the last persist_s, and not yet before.
-- An alert that has been quiet for resolve_s is over, also before its end has been written.
-- Grain: one row when a situation begins, per (rule, entity). Parameters of each rule that signals: persist_signals,
-- persist_s, resolve_s, max_age_s, per 'venue:symbol' or '*'. Cost: reads persist_s of the touched entities' signals, one day of
-- their alerts.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_fired_mv TO alerts AS
WITH
    fresh AS
    (
        SELECT
            rule,
            entity,
            groupArray(second) AS fresh_seconds,
            max(second) AS last_second,
            dictGetOrDefault('alert_thresholds', 'value', (rule, concat(any(venue), ':', any(symbol)), 'persist_signals'), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'persist_signals'), 1)) AS persist_signals,
            dictGetOrDefault('alert_thresholds', 'value', (rule, concat(any(venue), ':', any(symbol)), 'persist_s'), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'persist_s'), 1)) AS persist_s,
            dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'resolve_s'), 60) AS resolve_s,
            dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'max_age_s'), 900) AS max_age_s
        FROM alert_signals
        GROUP BY
            rule,
            entity
        HAVING last_second > (now() - max_age_s)
    ),
    known AS
    (
        SELECT
            rule,
            entity,
            max(started) AS known_start,
            argMax(ended, started) AS known_end
        FROM
        (
            SELECT
                rule,
                entity,
                alert_id,
                any(started_time) AS started,
                maxIf(event_time, status = 'resolved') AS ended
            FROM alerts
            WHERE ((rule, entity) IN (SELECT rule, entity FROM fresh))
                AND (started_time > (SELECT min(last_second) - INTERVAL 1 DAY FROM fresh))
            GROUP BY
                rule,
                entity,
                alert_id
        )
        GROUP BY
            rule,
            entity
    ),
    bad AS
    (
        SELECT
            rule,
            entity,
            arraySort(groupUniqArray(second)) AS bad_seconds
        FROM
        (
            SELECT
                rule,
                entity,
                second
            FROM alert_signals
            UNION ALL
            SELECT
                rule,
                entity,
                second
            FROM alert_signals_history
            WHERE ((rule, entity) IN (SELECT rule, entity FROM fresh))
                AND (second > (SELECT min(arrayMin(fresh_seconds)) - 600 FROM fresh)) AND (second <= (SELECT max(last_second) FROM fresh))
        )
        GROUP BY
            rule,
            entity
    )
SELECT
    lower(hex(sipHash128(rule, entity, toUnixTimestamp(begun)))) AS alert_id,
    rule,
    severity,
    'firing' AS status,
    entity,
    venue,
    symbol,
    user_id,
    toDateTime64(begun, 3, 'UTC') AS started_time,
    toDateTime64(fired_second, 3, 'UTC') AS event_time,
    value,
    baseline,
    threshold,
    summary,
    evidence
FROM
(
    SELECT
        rule,
        entity,
        arrayLast(x -> (x < arrayMin(fresh_seconds)), bad_seconds) AS bad_before,
        (toUnixTimestamp(known_start) > 0) AND (toUnixTimestamp(known_end) = 0) AS is_open,
        if(is_open, bad_before + toUInt32(resolve_s), toDateTime(known_end, 'UTC')) AS over_since,
        arrayFirst(s -> ((s > over_since) AND (arrayCount(x -> ((x <= s) AND (x > (s - persist_s)) AND (x > over_since)), bad_seconds) >= persist_signals)), arraySort(fresh_seconds)) AS fired_second,
        arrayFirst(x -> ((x > (fired_second - persist_s)) AND (x > over_since)), bad_seconds) AS begun
    FROM fresh
    INNER JOIN bad USING (rule, entity)
    LEFT JOIN known USING (rule, entity)
    WHERE (NOT is_open) OR (over_since < arrayMin(fresh_seconds))
) AS situations
INNER JOIN
(
    SELECT
        rule,
        entity,
        second AS fired_second,
        any(severity) AS severity,
        any(venue) AS venue,
        any(symbol) AS symbol,
        any(user_id) AS user_id,
        any(value) AS value,
        any(baseline) AS baseline,
        any(threshold) AS threshold,
        any(summary) AS summary,
        any(evidence) AS evidence
    FROM alert_signals
    GROUP BY
        rule,
        entity,
        fired_second
) AS details USING (rule, entity, fired_second)
WHERE toUnixTimestamp(fired_second) > 0;
