-- How topic heartbeats enters the node: One row a minute from the feeder that delivers alerts. The node makes an alert of it, which comes back to that feeder the whole way: whoever misses it knows that an alert would have been lost.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_heartbeats: grain: one line of a message, unparsed. Read by heartbeats_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_heartbeats
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'heartbeats',
    kafka_group_name = 'chctl.clickhouse.heartbeats',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536,
    kafka_flush_interval_ms = 1000,
    kafka_poll_timeout_ms = 500,
    kafka_consumer_reschedule_ms = 10;

-- heartbeats_gate: grain: one line, on its way to heartbeats_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by heartbeats_parsed_mv.
CREATE TABLE IF NOT EXISTS heartbeats_gate
(
    in_sender Nullable(String),
    in_sent_time Nullable(Int64),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), heartbeats_parsed, 1, 0, 0, 0, 0, 0, 0);

-- heartbeats_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by heartbeats_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS heartbeats_parsed
(
    in_sender Nullable(String),
    in_sent_time Nullable(Int64),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- heartbeats_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by heartbeats_landing_mv (valid) and heartbeats_odd_mv (the others).
CREATE TABLE IF NOT EXISTS heartbeats_checked
(
    in_sender Nullable(String),
    in_sent_time Nullable(Int64),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- heartbeats_odd: grain: one line that needs a closer look; stores nothing. Read by heartbeats_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS heartbeats_odd
(
    in_sender Nullable(String),
    in_sent_time Nullable(Int64),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- heartbeats_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_heartbeats_mv (!= '').
CREATE TABLE IF NOT EXISTS heartbeats_landing
(
    sender String COMMENT 'Host, process and start of the feeder.',
    sent_time DateTime64(3, 'UTC') COMMENT 'Clock of the sender.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
