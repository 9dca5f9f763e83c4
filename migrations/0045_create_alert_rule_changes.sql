-- Audit trail of the thresholds: alert_rules keeps the latest value, this keeps every one.
-- Grain: one row a change. Written by alert_rule_changes_mv, whoever inserts. Read by: chctl rules history.
CREATE TABLE IF NOT EXISTS alert_rule_changes
(
    `rule` LowCardinality(String) COMMENT 'as in alert_rules',
    `scope` String COMMENT 'as in alert_rules',
    `parameter` LowCardinality(String) COMMENT 'as in alert_rules',
    `value` Float64 COMMENT 'the new value',
    `updated_time` DateTime64(3, 'UTC') COMMENT 'when',
    `updated_by` String COMMENT 'who',
    `note` String COMMENT 'why',
    `database_user` String DEFAULT currentUser() COMMENT 'whom the node knew'
)
ENGINE = MergeTree
ORDER BY (rule, scope, parameter, updated_time);

-- What was set before this table was.
-- not idempotent: takes only what is not there yet
INSERT INTO alert_rule_changes (rule, scope, parameter, value, updated_time, updated_by, note)
SELECT
    rule,
    scope,
    parameter,
    value,
    updated_time,
    updated_by,
    note
FROM alert_rules
WHERE (rule, scope, parameter, updated_time) NOT IN
(
    SELECT
        rule,
        scope,
        parameter,
        updated_time
    FROM alert_rule_changes
);
