-- How long rows take from hop to hop, per minute of event time: median and 99th percentile, in ms, and how many rows.
-- Grain: one row a (minute, stream, venue, hop). Read by: Pipeline health; give it a range of minutes.
-- Hops: venue to feeder (clock of the venue to the feeder's: skew shows, also below zero), feeder to node, post to
-- rating, event to alert, alert to channel. A replayed recording is as late as it is old.
CREATE VIEW IF NOT EXISTS dash_hops_1m AS
SELECT
    minute,
    stream,
    venue,
    hop,
    count() AS rows,
    quantile(0.5)(delay_ms) AS p50_ms,
    quantile(0.99)(delay_ms) AS p99_ms
FROM
(
    SELECT
        toStartOfMinute(event_time) AS minute,
        'market_trades' AS stream,
        toString(venue) AS venue,
        tupleElement(step, 1) AS hop,
        tupleElement(step, 2) AS delay_ms
    FROM trades
    ARRAY JOIN [('venue to feeder', dateDiff('millisecond', event_time, receive_time)), ('feeder to node', dateDiff('millisecond', receive_time, ingest_time))] AS step
    UNION ALL
    SELECT
        toStartOfMinute(event_time) AS minute,
        'market_l2' AS stream,
        toString(venue) AS venue,
        tupleElement(step, 1) AS hop,
        tupleElement(step, 2) AS delay_ms
    FROM book_deltas
    ARRAY JOIN [('venue to feeder', dateDiff('millisecond', event_time, receive_time)), ('feeder to node', dateDiff('millisecond', receive_time, ingest_time))] AS step
    UNION ALL
    SELECT
        toStartOfMinute(event_time) AS minute,
        'user_actions' AS stream,
        toString(venue) AS venue,
        tupleElement(step, 1) AS hop,
        tupleElement(step, 2) AS delay_ms
    FROM user_orders
    ARRAY JOIN [('venue to feeder', dateDiff('millisecond', event_time, receive_time)), ('feeder to node', dateDiff('millisecond', receive_time, ingest_time))] AS step
    UNION ALL
    SELECT
        toStartOfMinute(event_time) AS minute,
        'social' AS stream,
        toString(source) AS venue,
        'post to rating' AS hop,
        dateDiff('millisecond', event_time, processed_time) AS delay_ms
    FROM social_buzz
    UNION ALL
    SELECT
        toStartOfMinute(event_time) AS minute,
        'alerts' AS stream,
        toString(venue) AS venue,
        'event to alert' AS hop,
        dateDiff('millisecond', event_time, raised_time) AS delay_ms
    FROM alerts
    WHERE status = 'firing'
    UNION ALL
    SELECT
        toStartOfMinute(told.attempted_time) AS minute,
        'alerts' AS stream,
        toString(told.channel) AS venue,
        'alert to channel' AS hop,
        dateDiff('millisecond', raised.raised_time, told.attempted_time) AS delay_ms
    FROM alert_deliveries AS told
    INNER JOIN
    (
        SELECT
            alert_id,
            status,
            min(alerts.raised_time) AS raised_time
        FROM alerts
        GROUP BY
            alert_id,
            status
    ) AS raised ON (raised.alert_id = told.alert_id) AND (raised.status = told.status)
    WHERE told.outcome = 'delivered'
)
GROUP BY
    minute,
    stream,
    venue,
    hop;
