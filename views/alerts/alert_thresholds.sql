-- alert_rules as the rules read it: (rule, scope, parameter) to the value in force. Reloads within two seconds.
CREATE DICTIONARY IF NOT EXISTS alert_thresholds
(
    `rule` String,
    `scope` String,
    `parameter` String,
    `value` Float64
)
PRIMARY KEY rule, scope, parameter
SOURCE(CLICKHOUSE(TABLE 'alert_rules_now'))
LIFETIME(MIN 1 MAX 2)
LAYOUT(COMPLEX_KEY_HASHED());
