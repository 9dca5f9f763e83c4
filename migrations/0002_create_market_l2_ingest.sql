-- How topic market_l2 enters the node: Order books compressed to windows of 100 ms: the best levels after the window and the net change of every level in it, as integer ticks and lots. A gap row says that updates were missed; a snapshot row follows it. One row a line.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_market_l2: grain: one line of a message, unparsed. Read by market_l2_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_market_l2
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'market_l2',
    kafka_group_name = 'chctl.clickhouse.market_l2',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 2,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 3276,
    kafka_flush_interval_ms = 100,
    kafka_poll_timeout_ms = 50,
    kafka_consumer_reschedule_ms = 10;

-- market_l2_gate: grain: one line, on its way to market_l2_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by market_l2_parsed_mv.
CREATE TABLE IF NOT EXISTS market_l2_gate
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_update_type Nullable(String),
    in_window_start Nullable(Int64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_first_seq Nullable(UInt64),
    in_last_seq Nullable(UInt64),
    in_diffs Nullable(Int64),
    in_price_scale Nullable(Int64),
    in_size_scale Nullable(Int64),
    in_bid_ticks Array(Int64),
    in_bid_lots Array(Int64),
    in_ask_ticks Array(Int64),
    in_ask_lots Array(Int64),
    in_delta_bid_ticks Array(Int64),
    in_delta_bid_lots Array(Int64),
    in_delta_ask_ticks Array(Int64),
    in_delta_ask_lots Array(Int64),
    in_depth_bps Array(Int64),
    in_bid_depth Array(Float64),
    in_ask_depth Array(Float64),
    in_expected_seq Nullable(UInt64),
    in_received_seq Nullable(UInt64),
    in_reason Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), market_l2_parsed, 1, 0, 0, 0, 0, 0, 0);

-- market_l2_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by market_l2_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS market_l2_parsed
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_update_type Nullable(String),
    in_window_start Nullable(Int64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_first_seq Nullable(UInt64),
    in_last_seq Nullable(UInt64),
    in_diffs Nullable(Int64),
    in_price_scale Nullable(Int64),
    in_size_scale Nullable(Int64),
    in_bid_ticks Array(Int64),
    in_bid_lots Array(Int64),
    in_ask_ticks Array(Int64),
    in_ask_lots Array(Int64),
    in_delta_bid_ticks Array(Int64),
    in_delta_bid_lots Array(Int64),
    in_delta_ask_ticks Array(Int64),
    in_delta_ask_lots Array(Int64),
    in_depth_bps Array(Int64),
    in_bid_depth Array(Float64),
    in_ask_depth Array(Float64),
    in_expected_seq Nullable(UInt64),
    in_received_seq Nullable(UInt64),
    in_reason Nullable(String),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_l2_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by market_l2_landing_mv (valid) and market_l2_odd_mv (the others).
CREATE TABLE IF NOT EXISTS market_l2_checked
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_update_type Nullable(String),
    in_window_start Nullable(Int64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_first_seq Nullable(UInt64),
    in_last_seq Nullable(UInt64),
    in_diffs Nullable(Int64),
    in_price_scale Nullable(Int64),
    in_size_scale Nullable(Int64),
    in_bid_ticks Array(Int64),
    in_bid_lots Array(Int64),
    in_ask_ticks Array(Int64),
    in_ask_lots Array(Int64),
    in_delta_bid_ticks Array(Int64),
    in_delta_bid_lots Array(Int64),
    in_delta_ask_ticks Array(Int64),
    in_delta_ask_lots Array(Int64),
    in_depth_bps Array(Int64),
    in_bid_depth Array(Float64),
    in_ask_depth Array(Float64),
    in_expected_seq Nullable(UInt64),
    in_received_seq Nullable(UInt64),
    in_reason Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_l2_odd: grain: one line that needs a closer look; stores nothing. Read by market_l2_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS market_l2_odd
(
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_update_type Nullable(String),
    in_window_start Nullable(Int64),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_first_seq Nullable(UInt64),
    in_last_seq Nullable(UInt64),
    in_diffs Nullable(Int64),
    in_price_scale Nullable(Int64),
    in_size_scale Nullable(Int64),
    in_bid_ticks Array(Int64),
    in_bid_lots Array(Int64),
    in_ask_ticks Array(Int64),
    in_ask_lots Array(Int64),
    in_delta_bid_ticks Array(Int64),
    in_delta_bid_lots Array(Int64),
    in_delta_ask_ticks Array(Int64),
    in_delta_ask_lots Array(Int64),
    in_depth_bps Array(Int64),
    in_bid_depth Array(Float64),
    in_ask_depth Array(Float64),
    in_expected_seq Nullable(UInt64),
    in_received_seq Nullable(UInt64),
    in_reason Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- market_l2_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_market_l2_mv (!= '').
CREATE TABLE IF NOT EXISTS market_l2_landing
(
    venue String COMMENT 'Venue of the book.',
    symbol String COMMENT 'Instrument, as the venue names it.',
    update_type String COMMENT 'A whole book, one window of changes, or missed updates.',
    window_start DateTime64(3, 'UTC') COMMENT 'Start of the window, event_time rounded down to it.',
    event_time DateTime64(3, 'UTC') COMMENT 'Venue time of the last update in the window.',
    receive_time DateTime64(6, 'UTC') COMMENT 'Receiver\'s clock when the last update of the window arrived.',
    first_seq UInt64 COMMENT 'Venue sequence number of the first update in the window.',
    last_seq UInt64 COMMENT 'Venue sequence number of the last update in the window.',
    diffs UInt32 COMMENT 'Level changes the venue sent in the window, before netting.',
    price_scale UInt8 COMMENT 'Price = ticks / 10^price_scale. [decimals]',
    size_scale UInt8 COMMENT 'Quantity = lots / 10^size_scale. [decimals]',
    bid_ticks Array(Int64) COMMENT 'Prices of the best bids after the window, best first. [ticks]',
    bid_lots Array(Int64) COMMENT 'Sizes resting at bid_ticks. [lots]',
    ask_ticks Array(Int64) COMMENT 'Prices of the best asks after the window, best first. [ticks]',
    ask_lots Array(Int64) COMMENT 'Sizes resting at ask_ticks. [lots]',
    delta_bid_ticks Array(Int64) COMMENT 'Bid prices whose size changed in the window. [ticks]',
    delta_bid_lots Array(Int64) COMMENT 'Net signed change of size at delta_bid_ticks. [lots]',
    delta_ask_ticks Array(Int64) COMMENT 'Ask prices whose size changed in the window. [ticks]',
    delta_ask_lots Array(Int64) COMMENT 'Net signed change of size at delta_ask_ticks. [lots]',
    depth_bps Array(UInt16) COMMENT 'Bands around the mid that bid_depth and ask_depth measure; first row of a second and snapshots only. [basis points]',
    bid_depth Array(Float64) COMMENT 'Quantity bid within each band of depth_bps, over the whole book. [base currency; contracts where the venue counts those]',
    ask_depth Array(Float64) COMMENT 'Quantity offered within each band of depth_bps, over the whole book. [base currency; contracts where the venue counts those]',
    expected_seq Nullable(UInt64) COMMENT 'Gap rows, the sequence number that should have come.',
    received_seq Nullable(UInt64) COMMENT 'Gap rows, the sequence number that came.',
    reason Nullable(String) COMMENT 'Gap rows, what was noticed.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
