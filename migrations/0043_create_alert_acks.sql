-- Who took an alert on: stops its repeats and escalation, and is passed on to channels that know acknowledgement.
-- Grain: one row an acknowledgement. Read by: feeders/alerts.py, alerts_open, alerts_history.
CREATE TABLE IF NOT EXISTS alert_acks
(
    `alert_id` String COMMENT 'of the table alerts',
    `acked_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node',
    `acked_by` String COMMENT 'who',
    `note` String COMMENT 'what they said'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(acked_time)
ORDER BY (alert_id, acked_time)
TTL toDateTime(acked_time) + INTERVAL 365 DAY;
