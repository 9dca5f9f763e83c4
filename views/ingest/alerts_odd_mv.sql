-- alerts_odd_mv: takes out the rows of topic alerts that need a closer look.
-- Grain: one line of a message. Read by nobody: fills alerts_odd.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_odd_mv TO alerts_odd
AS SELECT
    in_alert_id,
    in_rule,
    in_severity,
    in_status,
    in_entity,
    in_venue,
    in_symbol,
    in_user_id,
    in_started_time,
    in_event_time,
    in_raised_time,
    in_value,
    in_baseline,
    in_threshold,
    in_summary,
    in_evidence,
    in__key,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM alerts_checked
WHERE NOT valid;
