-- Ends alerts of rules that signal: no bad second for resolve_s of event time, nor within flap_s after that (alerts_fired_mv).
-- Grain: one row when a situation has ended, per alert_id. Parameters: resolve_s and flap_s, per rule.
-- Event time is what the stream of the rule has come to (event_clock): of its book for a rule about a book, of any
-- account for rules about accounts, of any post for rules about posts. The median of a stream's last three blocks, never
-- ahead of the node's clock: one event with a wrong time ends nothing, and a stream that stands still ends nothing.
-- An end lies at the last bad second and resolve_s, found flap_s later or whenever it is; bad seconds from the next alert of the same
-- rule and entity on are that one's.
-- Refreshed rather than triggered: an end may wait a second, the insert that triggers a view waits for it to be planned.
-- Cost: once a second, one day of alerts, and the signals of those that are open.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_resolved_mv
REFRESH EVERY 1 SECOND APPEND TO alerts AS
WITH
    clock AS
    (
        SELECT
            stream,
            venue,
            symbol,
            least(quantileExact(0.5)(event_time), now('UTC')) AS stream_time
        FROM
        (
            SELECT
                stream,
                venue,
                symbol,
                event_time
            FROM event_clock
            ORDER BY seen_time DESC
            LIMIT 3 BY
                stream,
                venue,
                symbol
        )
        GROUP BY
            stream,
            venue,
            symbol
    ),
    open AS
    (
        SELECT
            *,
            dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'resolve_s'), if(stream = 'social', 600, 60)) AS resolve_s,
            dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'flap_s'), toFloat64(60)) AS flap_s
        FROM
        (
            SELECT
                alert_id,
                any(alerts.rule) AS rule,
                any(alerts.entity) AS entity,
                any(alerts.severity) AS severity,
                any(alerts.venue) AS place,
                any(alerts.symbol) AS pair,
                any(alerts.user_id) AS account,
                any(alerts.started_time) AS begun,
                argMin(alerts.value, alerts.status) AS value,
                argMin(alerts.baseline, alerts.status) AS baseline,
                argMin(alerts.threshold, alerts.status) AS threshold,
                argMin(alerts.evidence, alerts.status) AS evidence,
                countIf(alerts.status = 'resolved') AS ends,
                multiIf(account != 0, 'user', place = 'social', 'social', 'book') AS stream,
                leadInFrame(begun, 1, toDateTime64('2100-01-01 00:00:00', 3, 'UTC')) OVER (PARTITION BY rule, entity ORDER BY begun ASC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_begun
            FROM alerts
            WHERE alerts.started_time > ((SELECT min(stream_time) FROM clock) - INTERVAL 1 DAY)
            GROUP BY alert_id
        )
        WHERE ends = 0
    )
SELECT
    alert_id,
    any(open.rule) AS rule,
    any(open.severity) AS severity,
    'resolved' AS status,
    any(open.entity) AS entity,
    any(place) AS venue,
    any(pair) AS symbol,
    any(account) AS user_id,
    any(begun) AS started_time,
    toDateTime64(max(second) + toUInt32(any(resolve_s)), 3, 'UTC') AS event_time,
    now64(3, 'UTC') AS raised_time,
    any(open.value) AS value,
    any(open.baseline) AS baseline,
    any(open.threshold) AS threshold,
    concat(entity, ': ', rule, ' has not been seen for ', toString(any(resolve_s)), ' s') AS summary,
    any(open.evidence) AS evidence
FROM open
INNER JOIN clock ON (clock.stream = open.stream) AND (clock.venue = if(open.stream = 'book', open.place, '')) AND (clock.symbol = if(open.stream = 'book', open.pair, ''))
INNER JOIN
(
    SELECT
        rule,
        entity,
        second
    FROM alert_signals
    WHERE (rule, entity) IN (
        SELECT
            rule,
            entity
        FROM open
    )
) AS signals ON (signals.rule = open.rule) AND (signals.entity = open.entity)
WHERE signals.second < toDateTime(open.next_begun, 'UTC')
GROUP BY alert_id
HAVING (event_time + toUInt32(any(flap_s))) < any(stream_time);
