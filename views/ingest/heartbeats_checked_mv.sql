-- heartbeats_checked_mv: tells the rows of topic heartbeats that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills heartbeats_checked.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_checked_mv TO heartbeats_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
    in_sender,
    in_sent_time,
    raw,
    (NOT foreign) AND (names = greatest(1, arraySum([in_sender IS NOT NULL, in_sent_time IS NOT NULL]))) AND (NOT ifNull(
        (in_sender IS NULL)
        OR (in_sender = '')
        OR (length(in_sender) > 128)
        OR (in_sent_time IS NULL)
        OR ((in_sent_time < 1230768000000) OR (in_sent_time > latest_ms))
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM heartbeats_parsed;
