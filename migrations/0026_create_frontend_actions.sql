-- What people did in the browser, once each; ids are keyed hashes, addresses and browsers coarse (feeders/beacon.py).
-- Grain: one row a (session_id, event_id); an event that a browser sends again replaces itself.
-- Read by: dash_frontend_1m, analysts.
CREATE TABLE IF NOT EXISTS frontend_actions
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'clock of the browser' CODEC(Delta(8), ZSTD(1)),
    `session_id` String COMMENT 'keyed hash' CODEC(ZSTD(3)),
    `user_id` UInt64 COMMENT 'keyed hash, 0 anonymous' CODEC(ZSTD(1)),
    `event_type` LowCardinality(String) COMMENT 'click, order_ticket, ...',
    `element` String COMMENT 'what it was done to' CODEC(ZSTD(3)),
    `page` String COMMENT 'path of the page' CODEC(ZSTD(3)),
    `properties` String COMMENT 'JSON' CODEC(ZSTD(3)),
    `ip_prefix` LowCardinality(String) COMMENT 'network of the client, empty where dropped',
    `user_agent` LowCardinality(String) COMMENT 'browser family, version, system',
    `event_id` String COMMENT 'made by the browser, unique in its session' CODEC(ZSTD(3)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the gateway' CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (session_id, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
