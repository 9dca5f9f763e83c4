-- The steps from events to rules; none stores anything. Tables between views because ClickHouse analyses a view for every
-- block, in a time that grows faster than the view (in one view the steps to order_watch took 90 ms a block), and because a
-- view that gets no rows is not analysed at all.

-- order_events: grain: one valid order event of the block. What the rules need of it, nothing Nullable.
-- Read by order_known_mv alone.
CREATE TABLE IF NOT EXISTS order_events
(
    `user_id` UInt64 COMMENT 'account',
    `user_tier` LowCardinality(String) COMMENT 'group of the account',
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `event_id` String COMMENT 'unique per event',
    `event_time` DateTime64(3, 'UTC') COMMENT 'venue time',
    `action` LowCardinality(String) COMMENT 'new, cancel, replace, fill, reject, expire',
    `side` Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'side of the order',
    `order_id` UInt64 COMMENT 'order',
    `trade_id` UInt64 COMMENT 'of a fill',
    `counterparty_id` UInt64 COMMENT 'of a fill, 0 unknown',
    `amount` Float64 COMMENT 'price * quantity',
    `open_amount` Float64 COMMENT 'price * what was not filled',
    `price` Float64 COMMENT '0 where there is none',
    `order_time` DateTime64(3, 'UTC') COMMENT 'when the order was created, epoch where unknown'
)
ENGINE = Null;

-- order_known: grain: one distinct order event of the seconds that the block touches: the block united with what is
-- stored, for the events of one second may come in several blocks. Read by order_seconds_mv alone.
CREATE TABLE IF NOT EXISTS order_known
(
    `user_id` UInt64,
    `user_tier` LowCardinality(String),
    `venue` LowCardinality(String),
    `symbol` LowCardinality(String),
    `event_id` String,
    `event_time` DateTime64(3, 'UTC'),
    `action` LowCardinality(String),
    `side` Enum8('BUY' = 1, 'SELL' = 2),
    `order_id` UInt64,
    `trade_id` UInt64,
    `counterparty_id` UInt64,
    `amount` Float64,
    `open_amount` Float64,
    `price` Float64,
    `order_time` DateTime64(3, 'UTC'),
    `fresh` UInt8 COMMENT '1 where the block brought it'
)
ENGINE = Null;

-- order_seconds: grain: one (user_id, venue, symbol, second) that the block touches, in plain figures; the columns are
-- those of order_watch. Read by order_watch_mv alone.
CREATE TABLE IF NOT EXISTS order_seconds
(
    `user_id` UInt64,
    `venue` LowCardinality(String),
    `symbol` LowCardinality(String),
    `second` DateTime('UTC'),
    `user_tier` LowCardinality(String),
    `events` UInt32,
    `placed` UInt32,
    `cancelled` UInt32,
    `filled` UInt32,
    `cancelled_100ms` UInt32,
    `faded` Float64,
    `self_trades` UInt32,
    `bid_levels` UInt16,
    `ask_levels` UInt16,
    `bids_pulled` Float64,
    `asks_pulled` Float64,
    `bought` Float64,
    `sold` Float64,
    `order_ids` Array(UInt64),
    `trade_ids` Array(UInt64)
)
ENGINE = Null;

-- order_findings: grain: one (rule, user_id, venue, symbol, second) whose value is worth comparing with what is usual.
-- Read by alert_orders_mv alone.
CREATE TABLE IF NOT EXISTS order_findings
(
    `user_id` UInt64,
    `venue` LowCardinality(String),
    `symbol` LowCardinality(String),
    `second` DateTime('UTC'),
    `user_tier` LowCardinality(String),
    `rule` String COMMENT 'name in alert_rules',
    `severity` String COMMENT 'info, warning, critical',
    `value` Float64 COMMENT 'what was seen',
    `usual` UInt8 COMMENT 'which figure of order_usual and peer_usual it is compared with, 0 none',
    `what` String COMMENT 'what the value counts, for a person',
    `ids` Array(UInt64) COMMENT 'orders or trades behind it',
    `w_placed` UInt32,
    `w_cancelled` UInt32,
    `w_cancelled_100ms` UInt32,
    `w_filled` UInt32,
    `t_bids_pulled` Float64,
    `t_asks_pulled` Float64,
    `t_bought` Float64,
    `t_sold` Float64
)
ENGINE = Null;

-- large_transfers: grain: one transfer above the min_value of rule large_transfer, with the thresholds in force.
-- Read by alert_large_transfer_mv alone.
CREATE TABLE IF NOT EXISTS large_transfers
(
    `event_id` String,
    `event_time` DateTime64(3, 'UTC'),
    `user_id` UInt64,
    `user_tier` LowCardinality(String),
    `venue` LowCardinality(String),
    `action` LowCardinality(String),
    `asset` LowCardinality(String),
    `amount` Float64,
    `min_value` Float64,
    `own_factor` Float64,
    `peer_factor` Float64
)
ENGINE = Null;

-- withdrawing_transfers: grain: one transfer of the block by an account that withdraws in it.
-- Read by withdrawal_moves_mv alone.
CREATE TABLE IF NOT EXISTS withdrawing_transfers
(
    `event_id` String,
    `event_time` DateTime64(3, 'UTC'),
    `user_id` UInt64,
    `user_tier` LowCardinality(String),
    `venue` LowCardinality(String),
    `action` LowCardinality(String),
    `asset` LowCardinality(String),
    `amount` Float64
)
ENGINE = Null;
