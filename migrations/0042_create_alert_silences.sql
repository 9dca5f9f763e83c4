-- Whom nobody shall be told about for a while: silences and maintenance windows. The alert is raised and kept all the same.
-- Grain: one row a silence, the latest wins; lifted early by an ends_time in the past.
-- Read by: alerts_held, chctl alerts.
CREATE TABLE IF NOT EXISTS alert_silences
(
    `silence_id` String COMMENT 'short random name',
    `kind` LowCardinality(String) COMMENT 'silence or maintenance',
    `matchers` Map(String, String) COMMENT 'field of an alert to a glob; all must fit; none fits every alert',
    `starts_time` DateTime64(3, 'UTC') COMMENT 'from then on',
    `ends_time` DateTime64(3, 'UTC') COMMENT 'until then; what still fires is told afterwards',
    `why` String COMMENT 'the reason, never empty',
    `who` String COMMENT 'who asked for it',
    `updated_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the latest row wins'
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY silence_id
TTL toDateTime(ends_time) + INTERVAL 365 DAY;
