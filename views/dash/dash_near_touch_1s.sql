-- How much of what an account cancels stood near the best price: within 5 bps of its side's touch in the last second
-- with a book, up to ten seconds back. Cancels without a known book are left out of both figures.
-- Grain: one row a (user_id, venue, symbol, second) with such cancels. Read by: analysts; give it a range
-- of event_time and accounts, for it reads orders one by one.
CREATE VIEW IF NOT EXISTS dash_near_touch_1s AS
SELECT
    user_id,
    venue,
    symbol,
    second,
    count() AS cancels,
    sum(open_notional) AS cancelled_notional,
    sumIf(open_notional, is_near) AS near_touch_notional,
    near_touch_notional / cancelled_notional AS near_touch_share
FROM
(
    SELECT
        cancels.user_id AS user_id,
        cancels.venue AS venue,
        cancels.symbol AS symbol,
        cancels.second AS second,
        cancels.open_notional AS open_notional,
        if(cancels.side = 'BUY', cancels.price >= (books.best_bid * 0.9995), cancels.price <= (books.best_ask * 1.0005)) AS is_near,
        (books.best_bid > 0) AND (books.second >= (cancels.second - 10)) AS has_book
    FROM
    (
        SELECT
            user_id,
            venue,
            symbol,
            side,
            price,
            event_time,
            toDateTime(event_time, 'UTC') AS second,
            price * greatest(quantity - filled_quantity, 0) AS open_notional
        FROM user_orders FINAL
        WHERE (action = 'cancel') AND (price > 0) AND (quantity > filled_quantity)
    ) AS cancels
    ASOF INNER JOIN
    (
        SELECT
            venue,
            symbol,
            toDateTime(dash_liquidity.second, 'UTC') AS second,
            best_bid,
            best_ask
        FROM dash_liquidity
    ) AS books ON (cancels.venue = books.venue) AND (cancels.symbol = books.symbol) AND (cancels.second >= books.second)
)
WHERE has_book
GROUP BY
    user_id,
    venue,
    symbol,
    second;
