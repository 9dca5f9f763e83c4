-- The threshold in force for each (rule, scope, parameter). Source of the dictionary alert_thresholds.
CREATE VIEW IF NOT EXISTS alert_rules_now AS
SELECT
    rule,
    scope,
    parameter,
    value
FROM alert_rules
FINAL;
