-- The pages about open alerts that are due now, beside the first ones: what is said again, to whom it goes next, who is
-- told that somebody took it on, what is held no more. The tree's say is in alert_plans, what was told in alert_deliveries.
-- Nothing is due of an alert that no feeder has taken on yet: its first page is the feeder's, at once, with its storm.
-- Grain: one row an (alert, channel). `status` and `step` are those of the page, `due_time` is since when.
-- Read by: feeders/alerts.py, which tells it; whoever wonders who is told next.
CREATE VIEW IF NOT EXISTS alerts_due AS
SELECT
    alert_id,
    channel,
    multiIf(taken_on, 'acknowledgement', after_s > 0, 'escalation', is_told, 'repeat', 'first page') AS reason,
    if(taken_on, 'acknowledged', 'firing') AS status,
    if(taken_on OR (NOT is_told), 0, told.3 + 1) AS step,
    multiIf(taken_on, acked_time, is_told, told.4 + toIntervalMillisecond(toUInt64(1000 * repeat_s)), raised_time + toIntervalMillisecond(toUInt64(1000 * after_s))) AS due_time,
    acked_by
FROM
(
    SELECT
        open.alert_id AS alert_id,
        open.raised_time AS raised_time,
        open.acked_by AS acked_by,
        open.acked_time AS acked_time,
        open.acked_by != '' AS taken_on,
        (planned.plan).1 AS channel,
        (planned.plan).2 AS after_s,
        (planned.plan).3 AS repeat_s,
        (planned.plan).4 AS acknowledges,
        arrayFirst(page -> (page.1 = channel) AND (page.2 = 'firing'), open.pages) AS told,
        told.2 = 'firing' AS is_told,
        arrayExists(page -> (page.1 = channel) AND (page.2 = 'acknowledged') AND (page.5 IN ('delivered', 'failed', 'suppressed')), open.pages) AS ack_told
    FROM alerts_open AS open
    INNER JOIN
    (
        SELECT
            alert_id,
            arrayJoin(plan) AS plan
        FROM alert_plans
        FINAL
    ) AS planned ON planned.alert_id = open.alert_id
    WHERE arrayExists(page -> (page.2 = 'firing'), open.pages)
) AS each
LEFT JOIN
(
    SELECT
        alert_id,
        reason AS held
    FROM alerts_held
) AS holds ON holds.alert_id = each.alert_id
WHERE multiIf(taken_on, acknowledges AND is_told AND (NOT ack_told), held != '', false, is_told, (repeat_s > 0) AND (told.5 = 'delivered'), true) AND (due_time <= now64(3, 'UTC'));
