-- flap_s of every rule: what comes back within so many seconds of its end has not ended (alerts_fired_mv); of a rule that
-- ends its alerts itself it is another alert, told only when it lasts as long (alerts_held). 0: ends and is told at once.
-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO alert_rules (rule, scope, parameter, value, updated_time, updated_by, note)
SELECT DISTINCT
    rule,
    '*' AS scope,
    'flap_s' AS parameter,
    60 AS value,
    toDateTime64('2026-01-01 00:00:00', 3, 'UTC') AS updated_time,
    'chctl' AS updated_by,
    'seconds after its end: back so soon, it never ended' AS note
FROM alert_rules
WHERE scope = '*';
