-- rejected_heartbeats_mv: keeps every row of topic heartbeats that breaks its contract,
-- as it came, and why.
-- Grain: one rejected row. Read by nobody: fills rejected_events.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_heartbeats_mv TO rejected_events
AS SELECT
    topic,
    partition,
    offset,
    reject_reason AS reason,
    raw,
    kafka_time,
    now64(3, 'UTC') AS ingest_time
FROM heartbeats_landing
WHERE reject_reason != '';
