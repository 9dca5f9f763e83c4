-- Thresholds of the rules: operations change a row, no DDL. Rules read them through the dictionary alert_thresholds.
-- Grain: one row a (rule, scope, parameter), the latest wins. Scope '*' is the default; an entity such as
-- 'binance:BTCUSDT' (or 'tier:vip' where a rule says so) goes before it.
CREATE TABLE IF NOT EXISTS alert_rules
(
    `rule` LowCardinality(String) COMMENT 'name of the file in views/alerts',
    `scope` String COMMENT 'an entity, or * for all',
    `parameter` LowCardinality(String) COMMENT 'as the rule''s comment lists them',
    `value` Float64 COMMENT 'in the parameter''s unit',
    `updated_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the latest row wins',
    `updated_by` String DEFAULT currentUser() COMMENT 'who',
    `note` String COMMENT 'why'
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY (rule, scope, parameter);

-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO alert_rules (rule, scope, parameter, value, updated_time, updated_by, note) VALUES
    ('liquidity_drop', '*', 'enabled', 1, '2026-01-01 00:00:00', 'chctl', '0 turns the rule off'),
    ('liquidity_drop', '*', 'band_bps', 10, '2026-01-01 00:00:00', 'chctl', 'depth within this many bps of the mid; one of the published bands'),
    ('liquidity_drop', '*', 'drop_share', 0.6, '2026-01-01 00:00:00', 'chctl', 'fires when a side has lost this share of its median depth'),
    ('liquidity_drop', '*', 'baseline_s', 300, '2026-01-01 00:00:00', 'chctl', 'seconds of history behind the median'),
    ('liquidity_drop', '*', 'min_baseline_s', 30, '2026-01-01 00:00:00', 'chctl', 'seconds with a book before the rule speaks'),
    ('liquidity_drop', '*', 'persist_signals', 3, '2026-01-01 00:00:00', 'chctl', 'bad seconds'),
    ('liquidity_drop', '*', 'persist_s', 3, '2026-01-01 00:00:00', 'chctl', 'within'),
    ('liquidity_drop', '*', 'resolve_s', 10, '2026-01-01 00:00:00', 'chctl', 'quiet seconds'),
    ('liquidity_drop', '*', 'max_age_s', 900, '2026-01-01 00:00:00', 'chctl', 'older events raise nothing, so that replays stay quiet');
