-- alerts_landing_mv: types the rows of topic alerts that obey its contract.
-- Grain: one row. Read by nobody: fills alerts_landing, together with alerts_odd_landing_mv.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_landing_mv TO alerts_landing
AS SELECT
    ifNull(in_alert_id, '') AS alert_id,
    ifNull(in_rule, '') AS rule,
    ifNull(in_severity, '') AS severity,
    ifNull(in_status, '') AS status,
    ifNull(in_entity, '') AS entity,
    ifNull(in_venue, '') AS venue,
    ifNull(in_symbol, '') AS symbol,
    ifNull(in_user_id, 0) AS user_id,
    fromUnixTimestamp64Milli(ifNull(in_started_time, 0), 'UTC') AS started_time,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Milli(ifNull(in_raised_time, 0), 'UTC') AS raised_time,
    in_value AS value,
    in_baseline AS baseline,
    in_threshold AS threshold,
    ifNull(in_summary, '') AS summary,
    ifNull(in_evidence, '') AS evidence,
    in__key AS _key,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM alerts_checked
WHERE valid;
