-- Every alert that is kept, as people look at it: what, since when, whether it is over, who took it on, who was told.
-- Grain: one row an alert. Read by: the Alerts dashboard, the table of alerts on the Market dashboard.
-- state: firing or resolved; duration_s: until it was resolved, else until now.
CREATE VIEW IF NOT EXISTS dash_alerts AS
SELECT
    alert_id,
    rule,
    owner,
    severity,
    entity,
    venue,
    symbol,
    user_id,
    started_time,
    raised_time,
    resolved_time,
    if(resolved_time IS NULL, 'firing', 'resolved') AS state,
    dateDiff('second', started_time, ifNull(resolved_time, now64(3, 'UTC'))) AS duration_s,
    value,
    baseline,
    threshold,
    summary,
    if(empty(acknowledgements), '', acknowledgements[1].2) AS acked_by,
    delivered AS messages_delivered,
    failed AS messages_failed
FROM alerts_history;
