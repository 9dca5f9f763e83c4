-- alerts_parsed_mv: reads each line of topic alerts as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills alerts_parsed through alerts_gate.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_parsed_mv TO alerts_gate
AS WITH JSONExtract(raw, 'Tuple(alert_id Nullable(String), rule Nullable(String), severity Nullable(String), status Nullable(String), entity Nullable(String), venue Nullable(String), symbol Nullable(String), user_id Nullable(UInt64), started_time Nullable(Int64), event_time Nullable(Int64), raised_time Nullable(Int64), value Nullable(Float64), baseline Nullable(Float64), threshold Nullable(Float64), summary Nullable(String), evidence Nullable(String), _key Nullable(String))') AS r
SELECT
    tupleElement(r, 'alert_id') AS in_alert_id,
    tupleElement(r, 'rule') AS in_rule,
    tupleElement(r, 'severity') AS in_severity,
    tupleElement(r, 'status') AS in_status,
    tupleElement(r, 'entity') AS in_entity,
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    tupleElement(r, 'user_id') AS in_user_id,
    tupleElement(r, 'started_time') AS in_started_time,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'raised_time') AS in_raised_time,
    tupleElement(r, 'value') AS in_value,
    tupleElement(r, 'baseline') AS in_baseline,
    tupleElement(r, 'threshold') AS in_threshold,
    tupleElement(r, 'summary') AS in_summary,
    tupleElement(r, 'evidence') AS in_evidence,
    tupleElement(r, '_key') AS in__key,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:alert_id|rule|entity|venue|symbol|summary|evidence|_key)"\\s*:\\s*[^"n\\s]|"(?:value|baseline|threshold)"\\s*:\\s*["tf\\[{]|"(?:user_id|started_time|event_time|raised_time)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_alerts;
