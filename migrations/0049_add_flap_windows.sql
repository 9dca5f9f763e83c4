-- flap_s of every rule: an alert that comes back within so many seconds of its entity's last end is told only when it
-- lasts as long; see alerts_held. 0: told at once.
-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO alert_rules (rule, scope, parameter, value, updated_time, updated_by, note)
SELECT DISTINCT
    rule,
    '*' AS scope,
    'flap_s' AS parameter,
    60 AS value,
    toDateTime64('2026-01-01 00:00:00', 3, 'UTC') AS updated_time,
    'chctl' AS updated_by,
    'seconds: back so soon, told only if it lasts as long' AS note
FROM alert_rules
WHERE scope = '*';
