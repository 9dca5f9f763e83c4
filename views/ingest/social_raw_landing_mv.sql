-- social_raw_landing_mv: types the rows of topic social_raw that obey its contract.
-- Grain: one row. Read by nobody: fills social_raw_landing, together with social_raw_odd_landing_mv.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_raw_landing_mv TO social_raw_landing
AS SELECT
    ifNull(in_event_id, '') AS event_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    ifNull(in_source, '') AS source,
    in_author AS author,
    in_language AS language,
    ifNull(in_text, '') AS text,
    in_url AS url,
    in_symbols AS symbols,
    in_engagement AS engagement,
    in_metadata AS metadata,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM social_raw_checked
WHERE valid;
