-- How topic frontend_events enters the node: What people do in the browser, as the beacon gateway received it: ids are keyed hashes, addresses and browsers coarse. One row a line.
-- Generated from contracts/frontend_events.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_frontend_events: grain: one line of a message, unparsed. Read by frontend_events_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_frontend_events
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'frontend_events',
    kafka_group_name = 'chctl.clickhouse.frontend_events',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 6553,
    kafka_flush_interval_ms = 1000,
    kafka_poll_timeout_ms = 500,
    kafka_consumer_reschedule_ms = 10;

-- frontend_events_gate: grain: one line, on its way to frontend_events_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by frontend_events_parsed_mv.
CREATE TABLE IF NOT EXISTS frontend_events_gate
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_session_id Nullable(String),
    in_user_id Nullable(UInt64),
    in_event_type Nullable(String),
    in_element Nullable(String),
    in_page Nullable(String),
    in_properties Nullable(String),
    in_ip_prefix Nullable(String),
    in_user_agent Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), frontend_events_parsed, 1, 0, 0, 0, 0, 0, 0);

-- frontend_events_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by frontend_events_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS frontend_events_parsed
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_session_id Nullable(String),
    in_user_id Nullable(UInt64),
    in_event_type Nullable(String),
    in_element Nullable(String),
    in_page Nullable(String),
    in_properties Nullable(String),
    in_ip_prefix Nullable(String),
    in_user_agent Nullable(String),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- frontend_events_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by frontend_events_landing_mv (valid) and frontend_events_odd_mv (the others).
CREATE TABLE IF NOT EXISTS frontend_events_checked
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_session_id Nullable(String),
    in_user_id Nullable(UInt64),
    in_event_type Nullable(String),
    in_element Nullable(String),
    in_page Nullable(String),
    in_properties Nullable(String),
    in_ip_prefix Nullable(String),
    in_user_agent Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- frontend_events_odd: grain: one line that needs a closer look; stores nothing. Read by frontend_events_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS frontend_events_odd
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_receive_time Nullable(Int64),
    in_session_id Nullable(String),
    in_user_id Nullable(UInt64),
    in_event_type Nullable(String),
    in_element Nullable(String),
    in_page Nullable(String),
    in_properties Nullable(String),
    in_ip_prefix Nullable(String),
    in_user_agent Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- frontend_events_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_frontend_events_mv (!= '').
CREATE TABLE IF NOT EXISTS frontend_events_landing
(
    event_id String COMMENT 'Made by the browser, unique in its session.',
    event_time DateTime64(3, 'UTC') COMMENT 'Browser\'s clock.',
    receive_time DateTime64(6, 'UTC') COMMENT 'Gateway\'s clock.',
    session_id String COMMENT 'Keyed hash of the session.',
    user_id UInt64 COMMENT 'Keyed hash of the account, 0 anonymous.',
    event_type String COMMENT 'click, order_ticket and so on.',
    element String COMMENT 'What it was done to.',
    page String COMMENT 'Path of the page.',
    properties String COMMENT 'Details as JSON text.',
    ip_prefix String COMMENT 'Network of the client, empty where it is dropped.',
    user_agent String COMMENT 'Family, version and system of the browser.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
