-- The bad seconds: a rule that signals writes one row for each second in which its condition holds for an entity.
-- alerts_fired_mv turns enough of them into an alert, alerts_resolved_mv ends it when they stop coming. So a rule
-- says only what is bad; ids, persistence, being open already, and the end are said once, there.
-- Grain: one row a (rule, entity, second); a second that is judged again replaces itself.
CREATE TABLE IF NOT EXISTS alert_signals
(
    `rule` LowCardinality(String) COMMENT 'name in alert_rules',
    `severity` LowCardinality(String) COMMENT 'info, warning, critical',
    `entity` String COMMENT 'what it is about, for example user:42@binance:BTCUSDT',
    `venue` LowCardinality(String) COMMENT 'empty where it does not apply',
    `symbol` LowCardinality(String) COMMENT 'empty where it does not apply',
    `user_id` UInt64 COMMENT '0 where it does not apply',
    `second` DateTime('UTC') COMMENT 'event time at which the condition held' CODEC(Delta(4), ZSTD(1)),
    `value` Float64 COMMENT 'what was seen',
    `baseline` Float64 COMMENT 'what is usual',
    `threshold` Float64 COMMENT 'the line that was crossed, in the unit of value',
    `summary` String COMMENT 'one line for a person' CODEC(ZSTD(1)),
    `evidence` String COMMENT 'JSON: figures and ids behind it' CODEC(ZSTD(1)),
    `signalled_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node' CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(signalled_time)
PARTITION BY toYYYYMMDD(second)
ORDER BY (rule, entity, second)
TTL second + INTERVAL 2 DAY
SETTINGS ttl_only_drop_parts = 1, index_granularity = 256;

-- alert_situations: what is known of an entity when signals about it come in; stores nothing. A step of its own, as is
-- each from order events to order_watch. Grain: one (rule, entity) of the block. Read by alerts_fired_mv alone.
CREATE TABLE IF NOT EXISTS alert_situations
(
    `rule` LowCardinality(String),
    `entity` String,
    `signals` Array(Tuple(DateTime('UTC'), String, String, String, UInt64, Float64, Float64, Float64, String, String)) COMMENT 'of the block: second, severity, venue, symbol, user_id, value, baseline, threshold, summary, evidence',
    `bad_seconds` Array(DateTime('UTC')) COMMENT 'those and the stored ones, ascending',
    `known` Tuple(DateTime64(3, 'UTC'), DateTime64(3, 'UTC')) COMMENT 'start and end of the latest alert, epoch where there is none',
    `pair` String COMMENT 'venue:symbol'
)
ENGINE = Null;
