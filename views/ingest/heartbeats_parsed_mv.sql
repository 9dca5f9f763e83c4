-- heartbeats_parsed_mv: reads each line of topic heartbeats as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills heartbeats_parsed through heartbeats_gate.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_parsed_mv TO heartbeats_gate
AS WITH JSONExtract(raw, 'Tuple(sender Nullable(String), sent_time Nullable(Int64))') AS r
SELECT
    tupleElement(r, 'sender') AS in_sender,
    tupleElement(r, 'sent_time') AS in_sent_time,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:sender)"\\s*:\\s*[^"n\\s]|"(?:sent_time)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_heartbeats;
