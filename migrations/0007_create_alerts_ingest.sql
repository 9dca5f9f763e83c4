-- How topic alerts enters the node: Alerts as they fire and resolve, keyed by alert_id, so that compaction keeps the latest state of each. The fast path; the table alerts is the truth.
-- Generated from contracts/alerts.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_alerts: grain: one line of a message, unparsed. Read by alerts_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_alerts
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'alerts',
    kafka_group_name = 'chctl.clickhouse.alerts',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536,
    kafka_flush_interval_ms = 1000,
    kafka_poll_timeout_ms = 500,
    kafka_consumer_reschedule_ms = 10;

-- alerts_gate: grain: one line, on its way to alerts_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by alerts_parsed_mv.
CREATE TABLE IF NOT EXISTS alerts_gate
(
    in_alert_id Nullable(String),
    in_rule Nullable(String),
    in_severity Nullable(String),
    in_status Nullable(String),
    in_entity Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_user_id Nullable(UInt64),
    in_started_time Nullable(Int64),
    in_event_time Nullable(Int64),
    in_raised_time Nullable(Int64),
    in_value Nullable(Float64),
    in_baseline Nullable(Float64),
    in_threshold Nullable(Float64),
    in_summary Nullable(String),
    in_evidence Nullable(String),
    in__key Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), alerts_parsed, 1, 0, 0, 0, 0, 0, 0);

-- alerts_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by alerts_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS alerts_parsed
(
    in_alert_id Nullable(String),
    in_rule Nullable(String),
    in_severity Nullable(String),
    in_status Nullable(String),
    in_entity Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_user_id Nullable(UInt64),
    in_started_time Nullable(Int64),
    in_event_time Nullable(Int64),
    in_raised_time Nullable(Int64),
    in_value Nullable(Float64),
    in_baseline Nullable(Float64),
    in_threshold Nullable(Float64),
    in_summary Nullable(String),
    in_evidence Nullable(String),
    in__key Nullable(String),
    raw String,
    names UInt64 COMMENT 'Names in the row, 0 where it is no object',
    foreign Bool COMMENT 'Some value may have been coerced',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- alerts_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by alerts_landing_mv (valid) and alerts_odd_mv (the others).
CREATE TABLE IF NOT EXISTS alerts_checked
(
    in_alert_id Nullable(String),
    in_rule Nullable(String),
    in_severity Nullable(String),
    in_status Nullable(String),
    in_entity Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_user_id Nullable(UInt64),
    in_started_time Nullable(Int64),
    in_event_time Nullable(Int64),
    in_raised_time Nullable(Int64),
    in_value Nullable(Float64),
    in_baseline Nullable(Float64),
    in_threshold Nullable(Float64),
    in_summary Nullable(String),
    in_evidence Nullable(String),
    in__key Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- alerts_odd: grain: one line that needs a closer look; stores nothing. Read by alerts_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS alerts_odd
(
    in_alert_id Nullable(String),
    in_rule Nullable(String),
    in_severity Nullable(String),
    in_status Nullable(String),
    in_entity Nullable(String),
    in_venue Nullable(String),
    in_symbol Nullable(String),
    in_user_id Nullable(UInt64),
    in_started_time Nullable(Int64),
    in_event_time Nullable(Int64),
    in_raised_time Nullable(Int64),
    in_value Nullable(Float64),
    in_baseline Nullable(Float64),
    in_threshold Nullable(Float64),
    in_summary Nullable(String),
    in_evidence Nullable(String),
    in__key Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- alerts_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_alerts_mv (!= '').
CREATE TABLE IF NOT EXISTS alerts_landing
(
    alert_id String COMMENT 'Hash of rule, entity and started_time; the same situation is the same alert.',
    rule String COMMENT 'Rule that raised it, a file of views/alerts.',
    severity String COMMENT 'How loud it is.',
    status String COMMENT 'Whether the situation lasts.',
    entity String COMMENT 'What it is about, such as binance:BTCUSDT or user:42.',
    venue String COMMENT 'Empty where it does not apply.',
    symbol String COMMENT 'Empty where it does not apply.',
    user_id UInt64 COMMENT '0 where it does not apply.',
    started_time DateTime64(3, 'UTC') COMMENT 'Event time at which the situation began.',
    event_time DateTime64(3, 'UTC') COMMENT 'Event time of the evidence.',
    raised_time DateTime64(3, 'UTC') COMMENT 'Node\'s clock.',
    value Nullable(Float64) COMMENT 'What was seen; null where it is no number.',
    baseline Nullable(Float64) COMMENT 'What is usual.',
    threshold Nullable(Float64) COMMENT 'The line that was crossed, in the unit of value.',
    summary String COMMENT 'One line for a person.',
    evidence String COMMENT 'Figures and ids behind it, as JSON text.',
    _key Nullable(String) COMMENT 'The message\'s key once more; the node\'s engine writes the column that keys a message into its body too.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
