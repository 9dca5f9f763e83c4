-- Rule delivery_failed: a channel could not be told, for good. Raised once a channel and ten minutes, resolved when the
-- channel takes a message again; the feeder tells it by another channel. A failure to tell of a failure raises nothing.
-- Grain: one row an (alert, status). Refreshed rather than triggered: an insert into alert_deliveries must not wait for
-- the broker behind the table alerts.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_delivery_failed_mv
REFRESH EVERY 5 SECOND APPEND TO alerts AS
SELECT
    lower(hex(MD5(concat('delivery_failed ', failures.channel, ' ', toString(toUnixTimestamp(failures.period)))))) AS alert_id,
    'delivery_failed' AS rule,
    'critical' AS severity,
    status,
    concat('channel:', failures.channel) AS entity,
    '' AS venue,
    '' AS symbol,
    toUInt64(0) AS user_id,
    toDateTime64(failures.period, 3, 'UTC') AS started_time,
    failures.last_time AS event_time,
    now64(3, 'UTC') AS raised_time,
    toFloat64(failures.messages) AS value,
    toFloat64(0) AS baseline,
    toFloat64(0) AS threshold,
    if(status = 'firing', concat('channel ', failures.channel, ' failed for good: ', failures.last_error), concat('channel ', failures.channel, ' takes messages again')) AS summary,
    toJSONString(map('channel', toString(failures.channel), 'http_status', toString(failures.last_http_status), 'error', failures.last_error, 'alert_ids', arrayStringConcat(failures.alert_ids, ' '))) AS evidence
FROM
(
    SELECT
        channel,
        toStartOfTenMinutes(attempted_time) AS period,
        max(attempted_time) AS last_time,
        uniqExact(alert_id, status) AS messages,
        argMax(http_status, attempted_time) AS last_http_status,
        argMax(error, attempted_time) AS last_error,
        groupUniqArray(20)(alert_id) AS alert_ids
    FROM alert_deliveries
    WHERE (outcome = 'failed') AND (attempted_time > (now() - toIntervalDay(1))) AND (alert_id NOT IN (
        SELECT alert_id
        FROM alerts
        WHERE rule = 'delivery_failed'
    ))
    GROUP BY
        channel,
        period
) AS failures
LEFT JOIN
(
    SELECT
        channel,
        max(attempted_time) AS last_time
    FROM alert_deliveries
    WHERE outcome = 'delivered'
    GROUP BY channel
) AS successes ON successes.channel = failures.channel
ARRAY JOIN if(successes.last_time > failures.last_time, ['firing', 'resolved'], ['firing']) AS status
WHERE (alert_id, status) NOT IN (
    SELECT
        alert_id,
        status
    FROM alerts
    WHERE rule = 'delivery_failed'
);
