-- social_raw_odd_mv: takes out the rows of topic social_raw that need a closer look.
-- Grain: one line of a message. Read by nobody: fills social_raw_odd.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_odd_mv TO social_raw_odd
AS SELECT
    in_event_id,
    in_event_time,
    in_source,
    in_author,
    in_language,
    in_text,
    in_url,
    in_symbols,
    in_engagement,
    in_metadata,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM social_raw_checked
WHERE NOT valid;
