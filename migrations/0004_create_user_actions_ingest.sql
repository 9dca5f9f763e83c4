-- How topic user_actions enters the node: What accounts do: orders and their fills, deposits and withdrawals, logins. One row a line; user_id is the venue's number, never a name.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_user_actions: grain: one line of a message, unparsed. Read by user_actions_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_user_actions
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'user_actions',
    kafka_group_name = 'chctl.clickhouse.user_actions',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 1310,
    kafka_flush_interval_ms = 100,
    kafka_poll_timeout_ms = 50,
    kafka_consumer_reschedule_ms = 10;

-- user_actions_gate: grain: one line, on its way to user_actions_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by user_actions_parsed_mv.
CREATE TABLE IF NOT EXISTS user_actions_gate
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_user_id Nullable(UInt64),
    in_user_tier Nullable(String),
    in_action Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_order_id Nullable(UInt64),
    in_side Nullable(String),
    in_type Nullable(String),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_filled_quantity Nullable(Float64),
    in_status Nullable(String),
    in_trade_id Nullable(UInt64),
    in_counterparty_id Nullable(UInt64),
    in_liquidity Nullable(String),
    in_replaces_order_id Nullable(UInt64),
    in_order_time Nullable(Int64),
    in_asset Nullable(String),
    in_amount Nullable(Float64),
    in_address_hash Nullable(String),
    in_metadata Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), user_actions_parsed, 1, 0, 0, 0, 0, 0, 0);

-- user_actions_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by user_actions_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS user_actions_parsed
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_user_id Nullable(UInt64),
    in_user_tier Nullable(String),
    in_action Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_order_id Nullable(UInt64),
    in_side Nullable(String),
    in_type Nullable(String),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_filled_quantity Nullable(Float64),
    in_status Nullable(String),
    in_trade_id Nullable(UInt64),
    in_counterparty_id Nullable(UInt64),
    in_liquidity Nullable(String),
    in_replaces_order_id Nullable(UInt64),
    in_order_time Nullable(Int64),
    in_asset Nullable(String),
    in_amount Nullable(Float64),
    in_address_hash Nullable(String),
    in_metadata Nullable(String),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- user_actions_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by user_actions_landing_mv (valid) and user_actions_odd_mv (the others).
CREATE TABLE IF NOT EXISTS user_actions_checked
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_user_id Nullable(UInt64),
    in_user_tier Nullable(String),
    in_action Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_order_id Nullable(UInt64),
    in_side Nullable(String),
    in_type Nullable(String),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_filled_quantity Nullable(Float64),
    in_status Nullable(String),
    in_trade_id Nullable(UInt64),
    in_counterparty_id Nullable(UInt64),
    in_liquidity Nullable(String),
    in_replaces_order_id Nullable(UInt64),
    in_order_time Nullable(Int64),
    in_asset Nullable(String),
    in_amount Nullable(Float64),
    in_address_hash Nullable(String),
    in_metadata Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- user_actions_odd: grain: one line that needs a closer look; stores nothing. Read by user_actions_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS user_actions_odd
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_user_id Nullable(UInt64),
    in_user_tier Nullable(String),
    in_action Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_order_id Nullable(UInt64),
    in_side Nullable(String),
    in_type Nullable(String),
    in_price Nullable(Float64),
    in_quantity Nullable(Float64),
    in_filled_quantity Nullable(Float64),
    in_status Nullable(String),
    in_trade_id Nullable(UInt64),
    in_counterparty_id Nullable(UInt64),
    in_liquidity Nullable(String),
    in_replaces_order_id Nullable(UInt64),
    in_order_time Nullable(Int64),
    in_asset Nullable(String),
    in_amount Nullable(Float64),
    in_address_hash Nullable(String),
    in_metadata Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- user_actions_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_user_actions_mv (!= '').
CREATE TABLE IF NOT EXISTS user_actions_landing
(
    event_id String COMMENT 'Unique per event, the same at every delivery.',
    event_time DateTime64(3, 'UTC') COMMENT 'Venue time of the event.',
    receive_time DateTime64(6, 'UTC') COMMENT 'Producer\'s clock.',
    user_id UInt64 COMMENT 'Account.',
    user_tier String COMMENT 'Group of the account, such as retail, bot or market_maker.',
    action String COMMENT 'What happened.',
    venue String COMMENT 'Venue of the order.',
    symbol String COMMENT 'Instrument, as the venue names it.',
    order_id Nullable(UInt64) COMMENT 'Order the event is about.',
    side Nullable(String) COMMENT 'Side of the order.',
    type Nullable(String) COMMENT 'limit, market and so on, as the venue says.',
    price Nullable(Float64) COMMENT 'Price of the order; of the trade for a fill; 0 for a market order. [quote currency]',
    quantity Nullable(Float64) COMMENT 'Quantity of the order; of the trade for a fill. [base currency]',
    filled_quantity Nullable(Float64) COMMENT 'Quantity of the order that is filled so far. [base currency]',
    status Nullable(String) COMMENT 'State of the order or transfer after the event, as the venue says.',
    trade_id Nullable(UInt64) COMMENT 'Trade of a fill.',
    counterparty_id Nullable(UInt64) COMMENT 'Account on the other side of a fill, 0 unknown.',
    liquidity Nullable(String) COMMENT 'Whether the order of a fill made or took liquidity.',
    replaces_order_id Nullable(UInt64) COMMENT 'Order that a replacement takes the place of.',
    order_time Nullable(DateTime64(3, 'UTC')) COMMENT 'When the order was created.',
    asset Nullable(String) COMMENT 'Currency of a transfer.',
    amount Nullable(Float64) COMMENT 'Amount of a transfer. [asset]',
    address_hash Nullable(String) COMMENT 'Keyed hash of a transfer\'s address.',
    metadata Nullable(String) COMMENT 'Venue\'s own details as JSON text.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
