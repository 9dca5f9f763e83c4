-- Deposits and withdrawals per account, asset and second, in units of the asset.
-- Grain: one row a (user_id, asset, second). Read by: analysts; give it a range of accounts, for it reads transfers one by one.
CREATE VIEW IF NOT EXISTS dash_transfers_1s AS
SELECT
    user_id,
    asset,
    toDateTime(event_time, 'UTC') AS second,
    countIf(action = 'deposit') AS deposits,
    countIf(action = 'withdrawal') AS withdrawals,
    sumIf(amount, action = 'deposit') AS deposited,
    sumIf(amount, action = 'withdrawal') AS withdrawn
FROM user_transfers FINAL
GROUP BY
    user_id,
    asset,
    second;
