-- Who owns a rule, what to do when it fires, and how loud it is. Grain: one row a rule, the latest wins.
-- Read by: feeders/alerts.py (pages), alerts_open, alerts_history, chctl rules.
CREATE TABLE IF NOT EXISTS rule_owners
(
    `rule` LowCardinality(String) COMMENT 'name of the file in views/alerts',
    `owner` LowCardinality(String) COMMENT 'team or person',
    `severity` LowCardinality(String) COMMENT 'in place of the one the rule gives; empty: as the rule says',
    `runbook` String COMMENT 'one line or a link: what to do first',
    `dashboard` String COMMENT 'path or URL of its dashboard; empty: the overview',
    `updated_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the latest row wins',
    `updated_by` String COMMENT 'who'
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY rule;

-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO rule_owners (rule, owner, severity, runbook, dashboard, updated_time, updated_by) VALUES
    ('liquidity_drop', 'risk', '', 'Compare the depth on other venues, then look for one account cancelling on that side.', '/d/liquidity', '2026-01-01 00:00:00', 'chctl'),
    ('delivery_failed', 'platform', '', 'chctl alerts show ALERT_ID names the error; mend the channel, then chctl alerts test CHANNEL.', '/d/alerts', '2026-01-01 00:00:00', 'chctl');
