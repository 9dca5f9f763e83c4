-- heartbeats_landing_mv: types the rows of topic heartbeats that obey its contract.
-- Grain: one row. Read by nobody: fills heartbeats_landing, together with heartbeats_odd_landing_mv.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_landing_mv TO heartbeats_landing
AS SELECT
    ifNull(in_sender, '') AS sender,
    fromUnixTimestamp64Milli(ifNull(in_sent_time, 0), 'UTC') AS sent_time,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM heartbeats_checked
WHERE valid;
