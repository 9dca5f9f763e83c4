-- Turns bad seconds into alerts: fires where an entity that has no open alert of the rule has been bad in at least
-- persist_signals seconds of the last persist_s, and not yet before.
-- Hysteresis: an alert ends when it was quiet for resolve_s and does not come back within flap_s after that. Until then
-- bad seconds are its own, so what flaps keeps one alert_id and is told once. After that it is over, also before its end
-- has been written.
-- Grain: one row when a situation begins, per (rule, entity). Parameters of each rule that signals: persist_signals,
-- persist_s, max_age_s, per 'venue:symbol' or '*'; resolve_s, flap_s, for all. Cost: the rows of alert_situations.
-- Every step is a level of its own: ClickHouse copies an alias into each place that uses it, and analyses all copies for
-- every insert.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_fired_mv TO alerts AS
SELECT
    lower(hex(sipHash128(rule, entity, toUnixTimestamp(begun)))) AS alert_id,
    rule,
    signal.2 AS severity,
    'firing' AS status,
    entity,
    signal.3 AS venue,
    signal.4 AS symbol,
    signal.5 AS user_id,
    toDateTime64(begun, 3, 'UTC') AS started_time,
    toDateTime64(signal.1, 3, 'UTC') AS event_time,
    signal.6 AS value,
    signal.7 AS baseline,
    signal.8 AS threshold,
    signal.9 AS summary,
    signal.10 AS evidence
FROM
(
    SELECT
        rule,
        entity,
        arrayFirst(x -> (x.1 = fired_second), signals) AS signal,
        arrayFirst(x -> ((x > (fired_second - (limits[2]))) AND (x > over_since)), bad_seconds) AS begun
    FROM
    (
        SELECT
            rule,
            entity,
            signals,
            bad_seconds,
            limits,
            over_since,
            arrayFirst(s -> ((s > over_since) AND (arrayCount(x -> ((x <= s) AND (x > (s - (limits[2]))) AND (x > over_since)), bad_seconds) >= (limits[1]))), fresh_seconds) AS fired_second
        FROM
        (
            SELECT
                rule,
                entity,
                signals,
                fresh_seconds,
                bad_seconds,
                limits,
                is_open,
                if(is_open, arrayLast(x -> (x < (fresh_seconds[1])), bad_seconds) + toUInt32((limits[3]) + (limits[5])), toDateTime(known.2, 'UTC') + toUInt32(if(toUnixTimestamp(known.2) > 0, limits[5], 0))) AS over_since
            FROM
            (
                SELECT
                    rule,
                    entity,
                    signals,
                    arraySort(arrayMap(x -> (x.1), signals)) AS fresh_seconds,
                    bad_seconds,
                    known,
                    (toUnixTimestamp(known.1) > 0) AND (toUnixTimestamp(known.2) = 0) AS is_open,
                    arrayMap(p -> dictGetOrDefault('alert_thresholds', 'value', (rule, p.1, p.2), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', p.2), p.3)), [(pair, 'persist_signals', 1.), (pair, 'persist_s', 1.), ('*', 'resolve_s', 60.), ('*', 'max_age_s', 900.), ('*', 'flap_s', 60.)]) AS limits
                FROM alert_situations
            )
            WHERE (fresh_seconds[-1]) > (now() - (limits[4]))
        )
        WHERE (NOT is_open) OR (over_since < (fresh_seconds[1]))
    )
    WHERE toUnixTimestamp(fired_second) > 0
);
