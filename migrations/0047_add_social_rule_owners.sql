-- Owners and first steps of the rules about posts. Changed by `chctl rules own`.
-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO rule_owners (rule, owner, severity, runbook, dashboard, updated_time, updated_by) VALUES
    ('buzz_burst', 'risk', '', 'Read dash_posts of the symbol: one story or many accounts? Then look at its book.', '/d/social', '2026-01-01 00:00:00', 'chctl'),
    ('sentiment_shock', 'risk', '', 'Read dash_posts of the symbol for the story; compare with trades and depth of the minute.', '/d/social', '2026-01-01 00:00:00', 'chctl');
