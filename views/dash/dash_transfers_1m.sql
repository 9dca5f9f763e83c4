-- Deposits and withdrawals per account, asset and minute, in units of the asset.
-- Grain: one row a (user_id, asset, minute). Read by: the Surveillance dashboard.
CREATE VIEW IF NOT EXISTS dash_transfers_1m AS
SELECT
    user_id,
    asset,
    minute,
    length(maxMap(transfers_1m.deposits)) AS deposits,
    length(maxMap(transfers_1m.withdrawals)) AS withdrawals,
    arraySum(mapValues(maxMap(transfers_1m.deposits))) AS deposited,
    arraySum(mapValues(maxMap(transfers_1m.withdrawals))) AS withdrawn
FROM transfers_1m
GROUP BY
    user_id,
    asset,
    minute;
