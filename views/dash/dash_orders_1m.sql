-- What an account did in a book per minute: counts, amounts, rates.
-- Grain: one row a (user_id, venue, symbol, minute). Read by: the Surveillance dashboard, analysts. Amounts in quote currency.
-- cancel_rate: cancelled over placed and replaced; orders_per_trade: the same over trades, every order where there is none.
CREATE VIEW IF NOT EXISTS dash_orders_1m AS
SELECT
    user_id,
    venue,
    symbol,
    minute,
    any(tier) AS user_tier,
    length(maxMap(placed)) AS new_orders,
    length(maxMap(replaced)) AS replaced_orders,
    length(maxMap(cancelled)) AS cancelled_orders,
    length(maxMap(filled)) AS trades,
    length(maxMap(refused)) AS refused_orders,
    length(maxMap(self_traded)) AS self_trades,
    arraySum(mapValues(maxMap(placed))) AS new_notional,
    arraySum(mapValues(maxMap(replaced))) AS replaced_notional,
    arraySum(mapValues(maxMap(cancelled))) AS cancelled_notional,
    arraySum(mapValues(maxMap(filled))) AS traded_notional,
    arraySum(mapValues(maxMap(self_traded))) AS self_traded_notional,
    new_orders + replaced_orders + cancelled_orders + refused_orders AS messages,
    (new_orders + replaced_orders) / 60 AS orders_per_second,
    messages / 60 AS messages_per_second,
    if((new_orders + replaced_orders) > 0, cancelled_orders / (new_orders + replaced_orders), 0) AS cancel_rate,
    (new_orders + replaced_orders) / greatest(trades, 1) AS orders_per_trade
FROM
(
    SELECT
        user_id,
        venue,
        symbol,
        toStartOfMinute(second) AS minute,
        user_tier AS tier,
        placed,
        replaced,
        cancelled,
        filled,
        refused,
        self_traded
    FROM order_flow_1s
)
GROUP BY
    user_id,
    venue,
    symbol,
    minute;
