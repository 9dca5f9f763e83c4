-- rejected_social_raw_mv: keeps every row of topic social_raw that breaks its contract,
-- by its hash, since it may hold personal data, and why.
-- Grain: one rejected row. Read by nobody: fills rejected_events.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_social_raw_mv TO rejected_events
AS SELECT
    topic,
    partition,
    offset,
    reject_reason AS reason,
    concat('sha256:', lower(hex(SHA256(raw)))) AS raw,
    kafka_time,
    now64(3, 'UTC') AS ingest_time
FROM social_raw_landing
WHERE reject_reason != '';
