-- Owners and first steps of the rules about accounts, transfers, spreads and feeds. Changed by `chctl rules own`.
-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO rule_owners (rule, owner, severity, runbook, dashboard, updated_time, updated_by) VALUES
    ('aggressive_cancels', 'surveillance', '', 'Look at the account''s orders of the window: size, distance from the mid, time resting.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('excessive_executions', 'surveillance', '', 'Compare with the account''s usual rate; ask whether it runs a new strategy.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('layering', 'surveillance', '', 'Look for fills on the other side while the layers rested, and cancels right after.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('order_to_trade', 'surveillance', '', 'Look for a client error first: a loop that replaces the same order.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('order_velocity', 'surveillance', '', 'Look for a client error first; then limit the account''s rate.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('price_fade', 'surveillance', '', 'Compare the cancels with the trades that came just after them.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('quote_stuffing', 'surveillance', '', 'Check gateway latency for the others; limit the account''s rate.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('self_trade', 'surveillance', '', 'Compare owners, addresses and devices of the two accounts.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('large_transfer', 'fraud', '', 'Check the address against the account''s history before the withdrawal is signed.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('withdrawal_velocity', 'fraud', '', 'Hold further withdrawals; look for a login from a new place before the first.', '/d/orders', '2026-01-01 00:00:00', 'chctl'),
    ('spread_blowout', 'risk', '', 'Compare the spread on other venues, then the depth within 10 bps of the mid.', '/d/liquidity', '2026-01-01 00:00:00', 'chctl'),
    ('feed_gaps', 'market-data', '', 'Look at dash_feed_gaps: one venue, or our own network?', '/d/liquidity', '2026-01-01 00:00:00', 'chctl'),
    ('feed_unhealthy', 'market-data', '', 'Look at dash_feed_gaps and the feeder''s log; the book is not to be trusted until a snapshot.', '/d/liquidity', '2026-01-01 00:00:00', 'chctl');
