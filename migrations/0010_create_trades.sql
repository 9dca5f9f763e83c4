-- Every public trade of every venue, once.
-- Grain: one row a (venue, symbol, trade_id); a trade that is delivered again replaces itself, so count with FINAL.
-- Read by: dash_trades, rebuilds of trades_1s, surveillance.
CREATE TABLE IF NOT EXISTS trades
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time of the trade' CODEC(Delta(8), ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market, for example binance',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `trade_id` UInt64 COMMENT 'the venue''s id, unique within venue and symbol' CODEC(DoubleDelta, ZSTD(1)),
    `price` Float64 COMMENT 'in quote currency' CODEC(ZSTD(3)),
    `quantity` Float64 COMMENT 'in base currency' CODEC(ZSTD(3)),
    `side` Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'side of the taker',
    `taker` Bool COMMENT 'the row was reported from the taker''s side',
    `order_id` UInt64 COMMENT '0 where the venue does not say' CODEC(Delta(8), T64, ZSTD(1)),
    `event_id` String ALIAS concat(venue, ':', symbol, ':', toString(trade_id)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the feeder' CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from; one message may hold many rows' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (venue, symbol, event_time, trade_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
