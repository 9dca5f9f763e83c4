-- The threshold in force for each (rule, scope, parameter), and under the scope 'least' the lowest min_value that a rule has
-- in any scope: below it nothing need be compared. Source of the dictionary alert_thresholds.
CREATE VIEW IF NOT EXISTS alert_rules_now AS
SELECT
    rule,
    scope,
    parameter,
    value
FROM alert_rules
FINAL
UNION ALL
SELECT
    rule,
    'least' AS scope,
    parameter,
    min(value) AS value
FROM alert_rules
FINAL
WHERE parameter = 'min_value'
GROUP BY
    rule,
    parameter;
