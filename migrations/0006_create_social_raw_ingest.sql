-- How topic social_raw enters the node: Posts as collected, with personal data: the social feeder alone reads what they say. The node reads them to check them, stores none, and keeps a hash in place of a rejected one. One row a line.
-- Generated from contracts/social_raw.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_social_raw: grain: one line of a message, unparsed. Read by social_raw_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_social_raw
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'social_raw',
    kafka_group_name = 'chctl.clickhouse.social_raw',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536,
    kafka_flush_interval_ms = 1000,
    kafka_poll_timeout_ms = 500,
    kafka_consumer_reschedule_ms = 10;

-- social_raw_gate: grain: one line, on its way to social_raw_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by social_raw_parsed_mv.
CREATE TABLE IF NOT EXISTS social_raw_gate
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_source Nullable(String),
    in_author Nullable(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_url Nullable(String),
    in_symbols Array(String),
    in_engagement Nullable(UInt64),
    in_metadata Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), social_raw_parsed, 1, 0, 0, 0, 0, 0, 0);

-- social_raw_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by social_raw_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS social_raw_parsed
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_source Nullable(String),
    in_author Nullable(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_url Nullable(String),
    in_symbols Array(String),
    in_engagement Nullable(UInt64),
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

-- social_raw_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by social_raw_landing_mv (valid) and social_raw_odd_mv (the others).
CREATE TABLE IF NOT EXISTS social_raw_checked
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_source Nullable(String),
    in_author Nullable(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_url Nullable(String),
    in_symbols Array(String),
    in_engagement Nullable(UInt64),
    in_metadata Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- social_raw_odd: grain: one line that needs a closer look; stores nothing. Read by social_raw_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS social_raw_odd
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_source Nullable(String),
    in_author Nullable(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_url Nullable(String),
    in_symbols Array(String),
    in_engagement Nullable(UInt64),
    in_metadata Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- social_raw_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_social_raw_mv (!= '').
CREATE TABLE IF NOT EXISTS social_raw_landing
(
    event_id String COMMENT 'source:post id, the same at every delivery.',
    event_time DateTime64(3, 'UTC') COMMENT 'When the post was published.',
    source String COMMENT 'Kind of place the post comes from.',
    author Nullable(String) COMMENT 'Who wrote it, as the source names them.',
    language Nullable(String) COMMENT 'BCP 47 tag where the source tells it.',
    text String COMMENT 'The post.',
    url Nullable(String) COMMENT 'Where it can be read.',
    symbols Array(String) COMMENT 'Base assets it is about, where the collector knows.',
    engagement Nullable(UInt64) COMMENT 'Likes, votes, replies and the like, summed.',
    metadata Nullable(String) COMMENT 'Source\'s own details as a JSON object.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
