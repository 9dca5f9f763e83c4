-- alerts_parsed_mv: reads each line of topic alerts as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills alerts_parsed.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_parsed_mv TO alerts_parsed
AS WITH JSONExtract(raw, 'Tuple(alert_id Nullable(String), rule Nullable(String), severity Nullable(String), status Nullable(String), entity Nullable(String), venue Nullable(String), symbol Nullable(String), user_id Dynamic, started_time Dynamic, event_time Dynamic, raised_time Dynamic, value Dynamic, baseline Dynamic, threshold Dynamic, summary Nullable(String), evidence Nullable(String))') AS r
SELECT
    tupleElement(r, 'alert_id') AS in_alert_id,
    tupleElement(r, 'rule') AS in_rule,
    tupleElement(r, 'severity') AS in_severity,
    tupleElement(r, 'status') AS in_status,
    tupleElement(r, 'entity') AS in_entity,
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'user_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'user_id'), 'Int64'))) AS in_user_id,
    dynamicElement(tupleElement(r, 'started_time'), 'Int64') AS in_started_time,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'raised_time'), 'Int64') AS in_raised_time,
    ifNull(dynamicElement(tupleElement(r, 'value'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'value'), 'Int64'))) AS in_value,
    ifNull(dynamicElement(tupleElement(r, 'baseline'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'baseline'), 'Int64'))) AS in_baseline,
    ifNull(dynamicElement(tupleElement(r, 'threshold'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'threshold'), 'Int64'))) AS in_threshold,
    tupleElement(r, 'summary') AS in_summary,
    tupleElement(r, 'evidence') AS in_evidence,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_alert_id IS NOT NULL, in_rule IS NOT NULL, in_severity IS NOT NULL, in_status IS NOT NULL, in_entity IS NOT NULL, in_venue IS NOT NULL, in_symbol IS NOT NULL, in_user_id IS NOT NULL, in_started_time IS NOT NULL, in_event_time IS NOT NULL, in_raised_time IS NOT NULL, in_value IS NOT NULL, in_baseline IS NOT NULL, in_threshold IS NOT NULL, in_summary IS NOT NULL, in_evidence IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_alert_id, in_rule, in_entity, in_venue, in_symbol, in_summary, in_evidence])) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_alerts;
