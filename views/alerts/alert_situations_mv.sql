-- What is known of the entities that a block of signals is about. Grain: one (rule, entity). Fills alert_situations.
-- Cost: ten minutes of the touched entities' signals, one day of their alerts.
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
