-- How topic market_trades enters the node: Every trade a venue publishes, one row a trade; rows of one flush are packed into a message, one a line.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_market_trades: grain: one line of a message, unparsed. Read by market_trades_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_market_trades
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'market_trades',
    kafka_group_name = 'chctl.clickhouse.market_trades',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 2,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 1310,
    kafka_flush_interval_ms = 100,
    kafka_poll_timeout_ms = 50,
    kafka_consumer_reschedule_ms = 10;

-- market_trades_gate: grain: one line, on its way to market_trades_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by market_trades_parsed_mv.
CREATE TABLE IF NOT EXISTS market_trades_gate
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_trade_id Nullable(UInt64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_side Nullable(String),
    in_taker Nullable(Bool),
    in_order_id Nullable(UInt64),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), market_trades_parsed, 1, 0, 0, 0, 0, 0, 0);

-- market_trades_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by market_trades_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS market_trades_parsed
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_trade_id Nullable(UInt64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_side Nullable(String),
    in_taker Nullable(Bool),
    in_order_id Nullable(UInt64),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_trades_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by market_trades_landing_mv (valid) and market_trades_odd_mv (the others).
CREATE TABLE IF NOT EXISTS market_trades_checked
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_trade_id Nullable(UInt64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_side Nullable(String),
    in_taker Nullable(Bool),
    in_order_id Nullable(UInt64),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_trades_odd: grain: one line that needs a closer look; stores nothing. Read by market_trades_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS market_trades_odd
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_trade_id Nullable(UInt64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_side Nullable(String),
    in_taker Nullable(Bool),
    in_order_id Nullable(UInt64),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_trades_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_market_trades_mv (!= '').
CREATE TABLE IF NOT EXISTS market_trades_landing
(
    venue String COMMENT 'Venue the trade happened on.',
    symbol String COMMENT 'Instrument, as the venue names it.',
    trade_id UInt64 COMMENT 'The venue\'s id of the trade, unique per venue and symbol.',
    event_time DateTime64(3, 'UTC') COMMENT 'Venue time of the trade.',
    receive_time DateTime64(6, 'UTC') COMMENT 'Receiver\'s clock when the trade arrived.',
    price Float64 COMMENT 'Price of the trade. [quote currency]',
    quantity Float64 COMMENT 'Quantity traded. [base currency; contracts where the venue counts those]',
    side String COMMENT 'Side of the taker.',
    taker Bool COMMENT 'True where the row tells the taker\'s view.',
    order_id UInt64 COMMENT 'Order of the taker where the venue tells it, else 0 or absent.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
