-- rejected_frontend_events_mv: keeps every row of topic frontend_events that breaks its contract,
-- as it came, and why.
-- Grain: one rejected row. Read by nobody: fills rejected_events.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_frontend_events_mv TO rejected_events
AS SELECT
    topic,
    partition,
    offset,
    reject_reason AS reason,
    raw,
    kafka_time,
    now64(3, 'UTC') AS ingest_time
FROM frontend_events_landing
WHERE reject_reason != '';
