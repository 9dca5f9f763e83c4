-- alerts_checked_mv: tells the rows of topic alerts that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills alerts_checked.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_checked_mv TO alerts_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
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
    (NOT foreign) AND (names = greatest(1, arraySum([in_alert_id IS NOT NULL, in_rule IS NOT NULL, in_severity IS NOT NULL, in_status IS NOT NULL, in_entity IS NOT NULL, in_venue IS NOT NULL, in_symbol IS NOT NULL, in_user_id IS NOT NULL, in_started_time IS NOT NULL, in_event_time IS NOT NULL, in_raised_time IS NOT NULL, in_value IS NOT NULL, in_baseline IS NOT NULL, in_threshold IS NOT NULL, in_summary IS NOT NULL, in_evidence IS NOT NULL, in__key IS NOT NULL]))) AND (NOT ifNull(
        (in_alert_id IS NULL)
        OR (in_alert_id = '')
        OR (length(in_alert_id) > 128)
        OR (in_rule IS NULL)
        OR (in_rule = '')
        OR (length(in_rule) > 128)
        OR (in_severity NOT IN ('info', 'warning', 'critical'))
        OR (in_severity IS NULL)
        OR (in_status NOT IN ('firing', 'resolved'))
        OR (in_status IS NULL)
        OR (in_entity IS NULL)
        OR (in_entity = '')
        OR (length(in_entity) > 256)
        OR (length(in_venue) > 32)
        OR (length(in_symbol) > 64)
        OR (in_started_time IS NULL)
        OR ((in_started_time < 1230768000000) OR (in_started_time > latest_ms))
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_raised_time IS NULL)
        OR ((in_raised_time < 1230768000000) OR (in_raised_time > latest_ms))
        OR (length(in_summary) > 4096)
        OR (length(in_evidence) > 65536)
        OR (in__key = '')
        OR (length(in__key) > 128)
        OR (in_started_time > in_event_time)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM alerts_parsed;
