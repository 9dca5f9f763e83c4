-- The book's best N levels per window: enough to know the top of the book at any moment.
-- Grain: one row a published window of a (venue, symbol); a window that is delivered again replaces itself.
-- Read by: dash_book, dash_spread, rebuilds of liquidity_1s, surveillance (near-touch share, price fade).
-- Prices and sizes are the venue's decimals as integers: price = ticks / 10^price_scale. Plain ZSTD beats Delta here,
-- because neighbouring rows repeat whole runs of levels; `bids` and `asks` offer arrays of (price, size) to readers.
CREATE TABLE IF NOT EXISTS book_topn
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time of the last diff in the window' CODEC(Delta(8), ZSTD(1)),
    `window_start` DateTime64(3, 'UTC') COMMENT 'start of the window, event time' CODEC(Delta(8), ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `update_type` LowCardinality(String) COMMENT 'snapshot: first good book; delta: changed; gap: the book is unknown from here',
    `last_seq` UInt64 COMMENT 'venue sequence of the last diff applied' CODEC(Delta(8), T64, ZSTD(1)),
    `price_scale` UInt8 COMMENT 'decimals of the ticks',
    `size_scale` UInt8 COMMENT 'decimals of the lots',
    `bid_ticks` Array(Int64) COMMENT 'best first' CODEC(ZSTD(12)),
    `bid_lots` Array(Int64) COMMENT 'best first' CODEC(ZSTD(12)),
    `ask_ticks` Array(Int64) COMMENT 'best first' CODEC(ZSTD(12)),
    `ask_lots` Array(Int64) COMMENT 'best first' CODEC(ZSTD(12)),
    `bids` Array(Tuple(Float64, Float64)) ALIAS arrayMap((p, q) -> (p / exp10(price_scale), q / exp10(size_scale)), bid_ticks, bid_lots),
    `asks` Array(Tuple(Float64, Float64)) ALIAS arrayMap((p, q) -> (p / exp10(price_scale), q / exp10(size_scale)), ask_ticks, ask_lots),
    `event_id` String ALIAS concat(venue, ':', symbol, ':', toString(toUnixTimestamp64Milli(window_start)), ':', toString(last_seq)),
    `depth_bps` Array(UInt16) COMMENT 'bands around the mid in basis points; empty between the samples of a second' CODEC(ZSTD(3)),
    `bid_depth_lots` Array(Int64) COMMENT 'lots resting within each band' CODEC(ZSTD(6)),
    `ask_depth_lots` Array(Int64) COMMENT 'lots resting within each band' CODEC(ZSTD(6)),
    `bid_depth` Array(Float64) ALIAS arrayMap(q -> (q / intExp10(size_scale)), bid_depth_lots) COMMENT 'base quantity resting within each band',
    `ask_depth` Array(Float64) ALIAS arrayMap(q -> (q / intExp10(size_scale)), ask_depth_lots) COMMENT 'base quantity resting within each band',
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (venue, symbol, window_start, last_seq, update_type)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
