-- What the rules judge: an account in a book, per second in plain figures, over the minute that ends there (w_...), the
-- five minutes (f_...) and the last ten seconds (t_...).
-- Grain: one row a (user_id, venue, symbol, second) in which the account sent something; the row that saw more events
-- replaces the others. Kept two days: it is the rules' memory, the record is order_flow_1s.
-- Read by: alert_orders_mv, order_baseline_1m_mv.
CREATE TABLE IF NOT EXISTS order_watch
(
    `user_id` UInt64 COMMENT 'account' CODEC(ZSTD(1)),
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `second` DateTime('UTC') COMMENT 'event time' CODEC(Delta(4), ZSTD(1)),
    `user_tier` LowCardinality(String) COMMENT 'group of the account',
    `events` UInt32 COMMENT 'distinct events in the second: the row with more knows more' CODEC(T64, ZSTD(1)),
    `placed` UInt32 COMMENT 'new orders and replacements' CODEC(T64, ZSTD(1)),
    `cancelled` UInt32 COMMENT 'cancels' CODEC(T64, ZSTD(1)),
    `filled` UInt32 COMMENT 'trades' CODEC(T64, ZSTD(1)),
    `cancelled_100ms` UInt32 COMMENT 'cancels of orders younger than that' CODEC(T64, ZSTD(1)),
    `faded` Float64 COMMENT 'cancelled within fade_ms after a trade that took from the same side, quote currency' CODEC(ZSTD(1)),
    `self_trades` UInt32 COMMENT 'trades with oneself' CODEC(T64, ZSTD(1)),
    `bid_levels` UInt16 COMMENT 'distinct prices of new buy orders' CODEC(T64, ZSTD(1)),
    `ask_levels` UInt16 COMMENT 'distinct prices of new sell orders' CODEC(T64, ZSTD(1)),
    `bids_pulled` Float64 COMMENT 'cancelled buy orders, quote currency' CODEC(ZSTD(1)),
    `asks_pulled` Float64 COMMENT 'cancelled sell orders, quote currency' CODEC(ZSTD(1)),
    `bought` Float64 COMMENT 'quote currency' CODEC(ZSTD(1)),
    `sold` Float64 COMMENT 'quote currency' CODEC(ZSTD(1)),
    `order_ids` Array(UInt64) COMMENT 'up to 10 orders of the second, cancelled ones first' CODEC(ZSTD(1)),
    `trade_ids` Array(UInt64) COMMENT 'up to 10 trades of the second, those with oneself first' CODEC(ZSTD(1)),
    `w_messages` UInt32 COMMENT 'placed and cancelled' CODEC(T64, ZSTD(1)),
    `w_placed` UInt32 CODEC(T64, ZSTD(1)),
    `w_cancelled` UInt32 CODEC(T64, ZSTD(1)),
    `w_filled` UInt32 CODEC(T64, ZSTD(1)),
    `w_cancelled_100ms` UInt32 CODEC(T64, ZSTD(1)),
    `w_pulled` Float64 COMMENT 'cancelled, quote currency' CODEC(ZSTD(1)),
    `w_faded` Float64 CODEC(ZSTD(1)),
    `w_stuffed_seconds` UInt16 COMMENT 'seconds with burst_messages or more, most orders gone within 100 ms' CODEC(T64, ZSTD(1)),
    `f_placed` UInt32 CODEC(T64, ZSTD(1)),
    `f_filled` UInt32 CODEC(T64, ZSTD(1)),
    `t_bid_levels` UInt16 COMMENT 'most distinct prices placed in one second' CODEC(T64, ZSTD(1)),
    `t_ask_levels` UInt16 COMMENT 'most distinct prices placed in one second' CODEC(T64, ZSTD(1)),
    `t_bids_pulled` Float64 CODEC(ZSTD(1)),
    `t_asks_pulled` Float64 CODEC(ZSTD(1)),
    `t_bought` Float64 CODEC(ZSTD(1)),
    `t_sold` Float64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(events)
PARTITION BY toYYYYMMDD(second)
ORDER BY (user_id, venue, symbol, second)
TTL second + INTERVAL 2 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 256;
