-- What changed in the book per window: net change of size per level, and how the window was built.
-- Grain: one row a published window of a (venue, symbol), gaps included; a window delivered again replaces itself.
-- Read by: dash_feed_gaps, latency panels, order-flow panels.
CREATE TABLE IF NOT EXISTS book_deltas
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time of the last diff in the window' CODEC(Delta(8), ZSTD(1)),
    `window_start` DateTime64(3, 'UTC') COMMENT 'start of the window, event time' CODEC(Delta(8), ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `update_type` LowCardinality(String) COMMENT 'snapshot, delta or gap',
    `first_seq` UInt64 COMMENT 'venue sequence of the first diff' CODEC(Delta(8), ZSTD(1)),
    `last_seq` UInt64 COMMENT 'venue sequence of the last diff' CODEC(Delta(8), ZSTD(1)),
    `diffs` UInt32 COMMENT 'level changes in the window' CODEC(T64, ZSTD(1)),
    `price_scale` UInt8 COMMENT 'decimals of the ticks',
    `size_scale` UInt8 COMMENT 'decimals of the lots',
    `bid_ticks` Array(Int64) COMMENT 'levels whose size changed' CODEC(ZSTD(3)),
    `bid_lots` Array(Int64) COMMENT 'signed net change of each' CODEC(ZSTD(3)),
    `ask_ticks` Array(Int64) COMMENT 'levels whose size changed' CODEC(ZSTD(3)),
    `ask_lots` Array(Int64) COMMENT 'signed net change of each' CODEC(ZSTD(3)),
    `expected_seq` Nullable(UInt64) COMMENT 'gap only: what should have come',
    `received_seq` Nullable(UInt64) COMMENT 'gap only: what came',
    `reason` LowCardinality(String) COMMENT 'gap only: sequence, checksum, crossed, stale, disconnect',
    `event_id` String ALIAS concat(venue, ':', symbol, ':', toString(toUnixTimestamp64Milli(window_start)), ':', toString(last_seq)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the feeder at the last diff' CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (venue, symbol, window_start, last_seq, update_type, ifNull(received_seq, 0))
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
