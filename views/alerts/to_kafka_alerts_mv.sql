-- Every alert that enters the outbox goes to the topic `alerts` at once, keyed by alert_id. Fast path only: see
-- to_kafka_alerts.
CREATE MATERIALIZED VIEW IF NOT EXISTS to_kafka_alerts_mv TO to_kafka_alerts AS
SELECT
    alert_id AS _key,
    alert_id,
    rule,
    severity,
    status,
    entity,
    venue,
    symbol,
    user_id,
    toUnixTimestamp64Milli(started_time) AS started_time,
    toUnixTimestamp64Milli(event_time) AS event_time,
    toUnixTimestamp64Milli(raised_time) AS raised_time,
    value,
    baseline,
    threshold,
    summary,
    evidence
FROM alerts;
