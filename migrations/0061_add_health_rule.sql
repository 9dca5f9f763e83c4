-- The rule health: what chctl's own checks (views/dash/dash_health.sql) allow before they page, who owns it and what to do.
-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO alert_rules (rule, scope, parameter, value, updated_time, updated_by, note) VALUES
    ('health', '*', 'enabled', 1, '2026-01-01 00:00:00', 'chctl', '0 turns the rule off; chctl doctor still tells'),
    ('health', '*', 'consumer_silent_s', 60, '2026-01-01 00:00:00', 'chctl', 'seconds since a Kafka table last asked its broker'),
    ('health', '*', 'rejected_share', 0.01, '2026-01-01 00:00:00', 'chctl', 'of a topic''s rows of the last hour'),
    ('health', '*', 'refresh_late_s', 300, '2026-01-01 00:00:00', 'chctl', 'seconds since a refreshable view was last computed'),
    ('health', '*', 'parts_share', 0.5, '2026-01-01 00:00:00', 'chctl', 'of parts_to_throw_insert, where inserts are refused'),
    ('health', '*', 'disk_days', 7, '2026-01-01 00:00:00', 'chctl', 'days until the disk is full, as the last days grew'),
    ('health', '*', 'disk_free_share', 0.1, '2026-01-01 00:00:00', 'chctl', 'of the disk'),
    ('health', '*', 'ttl_late_s', 21600, '2026-01-01 00:00:00', 'chctl', 'seconds that rows outlive their TTL'),
    ('health', '*', 'mutation_s', 3600, '2026-01-01 00:00:00', 'chctl', 'seconds that an ALTER ... UPDATE or DELETE is under way'),
    ('health', '*', 'heartbeat_late_s', 180, '2026-01-01 00:00:00', 'chctl', 'seconds since a heartbeat was delivered'),
    ('health', '*', 'persist_signals', 2, '2026-01-01 00:00:00', 'chctl', 'bad looks'),
    ('health', '*', 'persist_s', 180, '2026-01-01 00:00:00', 'chctl', 'within'),
    ('health', '*', 'resolve_s', 180, '2026-01-01 00:00:00', 'chctl', 'seconds without a bad look'),
    ('health', '*', 'max_age_s', 900, '2026-01-01 00:00:00', 'chctl', 'older signals raise nothing');

-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO rule_owners (rule, owner, severity, runbook, dashboard, updated_time, updated_by) VALUES
    ('heartbeat_missing', 'platform', '', 'Alerts are not getting through. chctl doctor says which hop fails: broker, Kafka table, node, feeder.', '/d/health', '2026-01-01 00:00:00', 'chctl'),
    ('health', 'platform', '', 'chctl doctor names the check, its limit and what to do.', '/d/health', '2026-01-01 00:00:00', 'chctl');
