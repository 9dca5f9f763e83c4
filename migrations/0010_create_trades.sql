-- Every public trade of every venue, once.
-- Grain: one row a (venue, symbol, trade_id); a trade that is delivered again replaces itself, so count with FINAL.
-- Read by: dash_trades, rebuilds of trades_1s, surveillance.
-- Price and quantity are kept as whole ticks and lots with as many decimals as they need (trades_mv finds out), which
-- takes half of what the floats take; `price` and `quantity` are those floats again, to the bit.
CREATE TABLE IF NOT EXISTS trades
(
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time of the trade' CODEC(DoubleDelta, ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market, for example binance',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `trade_id` UInt64 COMMENT 'the venue''s id, unique within venue and symbol' CODEC(DoubleDelta, ZSTD(1)),
    `price_ticks` Int64 COMMENT 'price * 10^price_scale; the bits of the float where price_scale is 255' CODEC(ZSTD(6)),
    `price_scale` UInt8 COMMENT 'decimals of price_ticks: 2, 4, 6 or 8; 255: none of them keeps the price exactly' CODEC(ZSTD(1)),
    `quantity_lots` Int64 COMMENT 'quantity * 10^quantity_scale; the bits of the float where quantity_scale is 255' CODEC(T64, ZSTD(1)),
    `quantity_scale` UInt8 COMMENT 'decimals of quantity_lots: 0 to 8; 255: none of them keeps the quantity exactly' CODEC(ZSTD(1)),
    `price` Float64 ALIAS if(price_scale = 255, reinterpretAsFloat64(price_ticks), price_ticks / intExp10(price_scale)) COMMENT 'in quote currency',
    `quantity` Float64 ALIAS if(quantity_scale = 255, reinterpretAsFloat64(quantity_lots), quantity_lots / intExp10(quantity_scale)) COMMENT 'in base currency',
    `side` Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'side of the taker' CODEC(T64, ZSTD(1)),
    `taker` Bool COMMENT 'the row was reported from the taker''s side',
    `order_id` UInt64 COMMENT '0 where the venue does not say' CODEC(Delta(8), T64, ZSTD(1)),
    `event_id` String ALIAS concat(venue, ':', symbol, ':', toString(trade_id)),
    `receive_time` DateTime64(6, 'UTC') COMMENT 'clock of the feeder' CODEC(Delta(8), T64, ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1)),
    `partition` UInt16 COMMENT 'Kafka partition it came from' CODEC(T64, ZSTD(1)),
    `offset` UInt64 COMMENT 'Kafka offset it came from; one message may hold many rows' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (venue, symbol, event_time, trade_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
