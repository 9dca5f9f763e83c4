-- rejected_events: what a contract refused, of every topic: the row as it came, the reason, and where it came from.
-- Grain: one rejected row. Read by dash_rejects and by whoever repairs a producer.
-- A message that is delivered again writes the same key again and replaces itself; two equal rows of one message are one.
CREATE TABLE IF NOT EXISTS rejected_events
(
    topic LowCardinality(String) COMMENT 'Topic of the message',
    partition UInt64 COMMENT 'Its partition',
    offset UInt64 COMMENT 'Its offset; a message may hold many rows' CODEC(Delta(8), ZSTD(1)),
    reason LowCardinality(String) COMMENT 'First breach of the contract, such as "price: missing"',
    raw String COMMENT 'The row as it came' CODEC(ZSTD(3)),
    kafka_time DateTime64(3, 'UTC') COMMENT 'Timestamp of the message' CODEC(Delta(8), ZSTD(1)),
    ingest_time DateTime64(3, 'UTC') COMMENT 'When the node refused it' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toDate(kafka_time)
ORDER BY (topic, partition, offset, cityHash64(raw))
TTL toDateTime(ingest_time) + toIntervalDay(30)
SETTINGS ttl_only_drop_parts = 1;
