-- How topic social_processed enters the node: Posts with sentiment, without personal data. One row a line.
-- Generated from contracts/social_processed.yaml by `chctl contracts render`: change the contract, not this file.

-- kafka_social_processed: grain: one line of a message, unparsed. Read by social_processed_parsed_mv alone.
-- One raw column, so that a bad row in a packed message rejects only itself and nothing can throw.
CREATE TABLE IF NOT EXISTS kafka_social_processed
(
    raw String COMMENT 'One row of JSON'
)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = 'social_processed',
    kafka_group_name = 'chctl.clickhouse.social_processed',
    kafka_format = 'LineAsString',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536,
    kafka_flush_interval_ms = 1000,
    kafka_poll_timeout_ms = 500,
    kafka_consumer_reschedule_ms = 10;

-- social_processed_gate: grain: one line, on its way to social_processed_parsed; keeps nothing, since every block exceeds its limits and
-- is passed on at once, and a block that fails there fails here. ClickHouse plans a Kafka table's views before it polls,
-- also when nothing comes; what stands behind a Buffer is planned only for rows. Filled by social_processed_parsed_mv.
CREATE TABLE IF NOT EXISTS social_processed_gate
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_processed_time Nullable(Int64),
    in_source Nullable(String),
    in_symbols Array(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_text_hash Nullable(UInt64),
    in_author_hash Nullable(String),
    in_sentiment_score Nullable(Float64),
    in_sentiment_label Nullable(String),
    in_confidence Nullable(Float64),
    in_tokens_count Nullable(Int64),
    in_engagement Nullable(UInt64),
    in_model Nullable(String),
    in_cost_usd Nullable(Float64),
    in_embedding Array(Float64),
    in_embedding_id Nullable(String),
    in_sampled_weight Nullable(Float64),
    in_metadata Nullable(String),
    raw String,
    names UInt64,
    foreign Bool,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Buffer(currentDatabase(), social_processed_parsed, 1, 0, 0, 0, 0, 0, 0);

-- social_processed_parsed: grain: one line, read as the contract's fields, NULL where one is absent or of a wrong type; stores
-- nothing. Read by social_processed_checked_mv alone. A table between each step and the next because ClickHouse analyses a view for
-- every block, in a time that grows faster than the view: in one view this takes up to ten times as long.
CREATE TABLE IF NOT EXISTS social_processed_parsed
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_processed_time Nullable(Int64),
    in_source Nullable(String),
    in_symbols Array(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_text_hash Nullable(UInt64),
    in_author_hash Nullable(String),
    in_sentiment_score Nullable(Float64),
    in_sentiment_label Nullable(String),
    in_confidence Nullable(Float64),
    in_tokens_count Nullable(Int64),
    in_engagement Nullable(UInt64),
    in_model Nullable(String),
    in_cost_usd Nullable(Float64),
    in_embedding Array(Float64),
    in_embedding_id Nullable(String),
    in_sampled_weight Nullable(Float64),
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

-- social_processed_checked: grain: one line, and whether it obeys the contract at first sight; stores nothing.
-- Read by social_processed_landing_mv (valid) and social_processed_odd_mv (the others).
CREATE TABLE IF NOT EXISTS social_processed_checked
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_processed_time Nullable(Int64),
    in_source Nullable(String),
    in_symbols Array(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_text_hash Nullable(UInt64),
    in_author_hash Nullable(String),
    in_sentiment_score Nullable(Float64),
    in_sentiment_label Nullable(String),
    in_confidence Nullable(Float64),
    in_tokens_count Nullable(Int64),
    in_engagement Nullable(UInt64),
    in_model Nullable(String),
    in_cost_usd Nullable(Float64),
    in_embedding Array(Float64),
    in_embedding_id Nullable(String),
    in_sampled_weight Nullable(Float64),
    in_metadata Nullable(String),
    raw String,
    valid Bool COMMENT 'Every name was read as a field, nothing was coerced, every check was passed',
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- social_processed_odd: grain: one line that needs a closer look; stores nothing. Read by social_processed_odd_landing_mv alone, which
-- does not run for a block without such a line.
CREATE TABLE IF NOT EXISTS social_processed_odd
(
    in_event_id Nullable(String),
    in_event_time Nullable(Int64),
    in_processed_time Nullable(Int64),
    in_source Nullable(String),
    in_symbols Array(String),
    in_language Nullable(String),
    in_text Nullable(String),
    in_text_hash Nullable(UInt64),
    in_author_hash Nullable(String),
    in_sentiment_score Nullable(Float64),
    in_sentiment_label Nullable(String),
    in_confidence Nullable(Float64),
    in_tokens_count Nullable(Int64),
    in_engagement Nullable(UInt64),
    in_model Nullable(String),
    in_cost_usd Nullable(Float64),
    in_embedding Array(Float64),
    in_embedding_id Nullable(String),
    in_sampled_weight Nullable(Float64),
    in_metadata Nullable(String),
    raw String,
    topic String,
    partition UInt64,
    offset UInt64,
    kafka_time DateTime64(3, 'UTC')
)
ENGINE = Null;

-- social_processed_landing: grain: one row of the topic, typed, valid or not; stores nothing.
-- Read by the views that fill the topic's tables (WHERE reject_reason = '') and by rejected_social_processed_mv (!= '').
CREATE TABLE IF NOT EXISTS social_processed_landing
(
    event_id String COMMENT 'As in social_raw.',
    event_time DateTime64(3, 'UTC') COMMENT 'When the post was published.',
    processed_time DateTime64(3, 'UTC') COMMENT 'When the feeder rated it.',
    source String COMMENT 'Kind of place the post comes from.',
    symbols Array(String) COMMENT 'Base assets the post is about.',
    language String COMMENT 'BCP 47 tag where the source tells it.',
    text String COMMENT 'The post, redacted.',
    text_hash UInt64 COMMENT 'Of the normal form; near-duplicates share it.',
    author_hash String COMMENT 'Keyed hash of the author.',
    sentiment_score Float64 COMMENT 'From negative to positive.',
    sentiment_label String COMMENT 'The score in a word.',
    confidence Float64 COMMENT 'Of the analyser.',
    tokens_count UInt32 COMMENT 'Tokens of the text in the model\'s vocabulary; words where a lexicon rated it.',
    engagement UInt64 COMMENT 'Likes, votes, replies and the like, summed.',
    model String COMMENT 'What rated the post.',
    cost_usd Float64 COMMENT 'What this row\'s rating cost.',
    embedding Array(Float32) COMMENT 'Vector of the text, where it has one and no vector store keeps it.',
    embedding_id String COMMENT 'Id of the vector in the vector store.',
    sampled_weight Float64 COMMENT 'Posts that this rating stands for; 0 where the budget left it to the lexicon.',
    metadata String COMMENT 'Source\'s own details as a JSON object, redacted.',
    raw String COMMENT 'The row as it came',
    reject_reason String COMMENT 'First breach of the contract, empty for a valid row',
    topic String COMMENT 'Where the row came from',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Offset of its message, which may hold many rows',
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of its message'
)
ENGINE = Null;
