-- The outbox: every alert that a rule raised, durable before anybody is told.
-- Grain: one row an (alert_id, status); raised again it replaces itself.
-- Read by: to_kafka_alerts_mv (fast path), feeders/alerts.py (sweep), alerts_history, the rules themselves (is it open?).
CREATE TABLE IF NOT EXISTS alerts
(
    `alert_id` String COMMENT 'hash of rule, entity and started_time: the same situation is the same alert',
    `rule` LowCardinality(String) COMMENT 'name of the file in views/alerts',
    `severity` LowCardinality(String) COMMENT 'info, warning, critical',
    `status` LowCardinality(String) COMMENT 'firing, resolved',
    `entity` String COMMENT 'what it is about, for example binance:BTCUSDT or user:42',
    `venue` LowCardinality(String) COMMENT 'empty where it does not apply',
    `symbol` LowCardinality(String) COMMENT 'empty where it does not apply',
    `user_id` UInt64 COMMENT '0 where it does not apply',
    `started_time` DateTime64(3, 'UTC') COMMENT 'event time at which the situation began',
    `event_time` DateTime64(3, 'UTC') COMMENT 'event time of the evidence',
    `raised_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node',
    `value` Float64 COMMENT 'what was seen',
    `baseline` Float64 COMMENT 'what is usual',
    `threshold` Float64 COMMENT 'the line that was crossed, in the unit of value',
    `summary` String COMMENT 'one line for a person',
    `evidence` String COMMENT 'JSON: figures and ids behind it'
)
ENGINE = ReplacingMergeTree(raised_time)
PARTITION BY toYYYYMMDD(started_time)
ORDER BY (rule, entity, started_time, alert_id, status)
TTL toDateTime(started_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 512;
