-- What is known of the entities that a block of signals is about. Grain: one (rule, entity). Fills alert_situations.
-- The last bad second before those ten minutes says whether an open alert is over: resolve_s and flap_s together may be
-- two hours. Cost: ten minutes of the touched entities' signals, two hours of their times, one day of their alerts.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_situations_mv TO alert_situations AS
SELECT
    rule,
    entity,
    groupArrayArray(signal) AS signals,
    arraySort(groupUniqArrayIf(second, toUnixTimestamp(second) > 0)) AS bad_seconds,
    max(known) AS known,
    max(pair) AS pair
FROM
(
    SELECT
        rule,
        entity,
        second,
        [(second, toString(severity), toString(venue), toString(symbol), user_id, value, baseline, threshold, summary, evidence)] AS signal,
        (toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')) AS known,
        concat(venue, ':', symbol) AS pair
    FROM alert_signals
    UNION ALL
    SELECT
        rule,
        entity,
        second,
        [],
        (toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')),
        ''
    FROM alert_signals_history
    WHERE ((rule, entity) IN (SELECT rule, entity FROM alert_signals))
        AND (second > ((SELECT min(second) FROM alert_signals) - 600)) AND (second <= (SELECT max(second) FROM alert_signals))
    UNION ALL
    SELECT
        rule,
        entity,
        max(second) AS second,
        [],
        (toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')),
        ''
    FROM alert_signals_history AS earlier
    WHERE ((rule, entity) IN (SELECT rule, entity FROM alert_signals))
        AND (earlier.second > ((SELECT min(second) FROM alert_signals) - 7200)) AND (earlier.second <= ((SELECT min(second) FROM alert_signals) - 600))
    GROUP BY
        rule,
        entity
    UNION ALL
    SELECT
        rule,
        entity,
        toDateTime(0, 'UTC'),
        [],
        (started_time, if(status = 'resolved', event_time, toDateTime64(0, 3, 'UTC'))),
        ''
    FROM alerts
    WHERE ((rule, entity) IN (SELECT rule, entity FROM alert_signals))
        AND (started_time > ((SELECT min(second) FROM alert_signals) - toIntervalDay(1)))
)
GROUP BY
    rule,
    entity;
