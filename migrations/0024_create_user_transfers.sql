-- Deposits and withdrawals, once each.
-- Grain: one row an event_id; an event that is delivered again replaces itself.
-- Read by: dash_transfers_1m, dash_quick_withdrawals, the transfer rules in views/alerts.
CREATE TABLE IF NOT EXISTS user_transfers
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'when the account was booked' CODEC(Delta(8), ZSTD(1)),
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `user_tier` LowCardinality(String) COMMENT 'group of the account',
    `venue` LowCardinality(String) COMMENT 'exchange',
    `action` LowCardinality(String) COMMENT 'deposit, withdrawal',
    `asset` LowCardinality(String) COMMENT 'currency',
    `amount` Float64 COMMENT 'in units of the asset' CODEC(ZSTD(3)),
    `address_hash` String COMMENT 'pseudonym of the address' CODEC(ZSTD(3)),
    `status` LowCardinality(String) COMMENT 'as the venue says',
    `metadata` String COMMENT 'raw JSON' CODEC(ZSTD(3)),
    `event_id` String COMMENT 'unique per event' CODEC(ZSTD(3)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the producer' CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (user_id, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;

-- Logins, good and failed, once each: a withdrawal soon after a burst of failures is looked at.
-- Grain: one row an event_id. Read by: dash_quick_withdrawals, alert_withdrawal_velocity_mv.
CREATE TABLE IF NOT EXISTS user_logins
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'of the attempt' CODEC(Delta(8), ZSTD(1)),
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `action` LowCardinality(String) COMMENT 'login, login_failed',
    `metadata` String COMMENT 'raw JSON' CODEC(ZSTD(3)),
    `event_id` String COMMENT 'unique per event' CODEC(ZSTD(3)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (user_id, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;
