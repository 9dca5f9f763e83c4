-- Every attempt to tell somebody, successful or not. Append-only.
-- Grain: one row an attempt. Read by: alerts_history, the feeder's sweep (what is undelivered), dash_deliveries.
CREATE TABLE IF NOT EXISTS alert_deliveries
(
    `alert_id` String COMMENT 'of the table alerts',
    `status` LowCardinality(String) COMMENT 'firing or resolved: which message it was',
    `channel` LowCardinality(String) COMMENT 'name in the routing tree',
    `attempt` UInt16 COMMENT 'from 1',
    `attempted_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the feeder',
    `outcome` LowCardinality(String) COMMENT 'delivered, retry, failed, suppressed',
    `http_status` UInt16 COMMENT '0 where there was no answer',
    `error` String COMMENT 'empty where it was delivered',
    `idempotency_key` String COMMENT 'the same for every attempt of one message to one channel',
    `latency_ms` UInt32 COMMENT 'of the attempt'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(attempted_time)
ORDER BY (alert_id, status, channel, attempted_time)
TTL toDateTime(attempted_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 512;
