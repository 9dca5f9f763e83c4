-- Every order event of every account, once: new, cancel, replace, fill, reject, expire.
-- Grain: one row an event_id; an event that is delivered again replaces itself, so count with FINAL or by event_id.
-- Read by: order_watch_mv, rebuilds of order_flow_1s, evidence of alerts. user_id is the venue's number, no name.
CREATE TABLE IF NOT EXISTS user_orders
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time of the event' CODEC(Delta(8), ZSTD(1)),
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `user_tier` LowCardinality(String) COMMENT 'retail, bot, market_maker, vip, ... as the venue groups its accounts',
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `order_id` UInt64 COMMENT 'order the event is about' CODEC(Delta(8), ZSTD(1)),
    `action` LowCardinality(String) COMMENT 'new, cancel, replace, fill, reject, expire',
    `side` Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'side of the order',
    `type` LowCardinality(String) COMMENT 'limit, market, ...',
    `price` Float64 COMMENT 'of the order; of the trade for a fill' CODEC(ZSTD(3)),
    `quantity` Float64 COMMENT 'of the order, in base currency; of the trade for a fill' CODEC(ZSTD(3)),
    `filled_quantity` Float64 COMMENT 'of the order, so far' CODEC(ZSTD(3)),
    `status` LowCardinality(String) COMMENT 'of the order after the event',
    `trade_id` UInt64 COMMENT 'fill only' CODEC(Delta(8), ZSTD(1)),
    `counterparty_id` UInt64 COMMENT 'fill only: account on the other side, 0 unknown' CODEC(ZSTD(1)),
    `liquidity` LowCardinality(String) COMMENT 'fill only: maker or taker',
    `replaces_order_id` UInt64 COMMENT 'replace only: the order that this one takes the place of' CODEC(Delta(8), ZSTD(1)),
    `order_time` DateTime64(3, 'UTC') COMMENT 'when the order was created, epoch where the venue does not say' CODEC(Delta(8), ZSTD(1)),
    `metadata` String COMMENT 'raw JSON' CODEC(ZSTD(3)),
    `event_id` String COMMENT 'unique per event' CODEC(ZSTD(3)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the producer' CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (user_id, venue, symbol, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;
