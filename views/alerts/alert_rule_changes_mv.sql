-- Every change of a threshold, as it is made, whoever makes it. Grain: one row a change. Read by: chctl rules history.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_rule_changes_mv TO alert_rule_changes AS
SELECT
    rule,
    scope,
    parameter,
    value,
    updated_time,
    updated_by,
    note
FROM alert_rules;
