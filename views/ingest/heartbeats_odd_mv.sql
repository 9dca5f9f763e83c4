-- heartbeats_odd_mv: takes out the rows of topic heartbeats that need a closer look.
-- Grain: one line of a message. Read by nobody: fills heartbeats_odd.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_odd_mv TO heartbeats_odd
AS SELECT
    in_sender,
    in_sent_time,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM heartbeats_checked
WHERE NOT valid;
