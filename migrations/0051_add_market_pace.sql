-- What keeps the rules about accounts from paging where the market moved and not the account, or where chance did it.
-- order_findings: the five minutes behind order_to_trade, to say whether so few trades can be chance.
ALTER TABLE order_findings
    ADD COLUMN IF NOT EXISTS `f_placed` UInt32,
    ADD COLUMN IF NOT EXISTS `f_filled` UInt32;

-- not idempotent: the same keys with the same updated_time replace themselves
INSERT INTO alert_rules (rule, scope, parameter, value, updated_time, updated_by, note) VALUES
    ('aggressive_cancels', '*', 'pace_factor', 1, '2026-01-01 00:00:00', 'chctl', 'where the book is k times as busy as usual, this times k is usual; 0 turns it off'),
    ('order_velocity', '*', 'pace_factor', 1, '2026-01-01 00:00:00', 'chctl', 'where the book is k times as busy as usual, this times k is usual; 0 turns it off'),
    ('excessive_executions', '*', 'pace_factor', 1, '2026-01-01 00:00:00', 'chctl', 'where the book is k times as busy as usual, this times k is usual; 0 turns it off'),
    ('order_to_trade', '*', 'z', 5, '2026-01-01 00:00:00', 'chctl', 'standard deviations that its trades are fewer than usual'),
    ('withdrawal_velocity', '*', 'amount_factor', 3, '2026-01-01 00:00:00', 'chctl', 'times the account''s median transfer, if it goes soon after a deposit'),
    ('withdrawal_velocity', '*', 'repeats', 2, '2026-01-01 00:00:00', 'chctl', 'in and out again so often in a week, whatever the amount is to the account');
