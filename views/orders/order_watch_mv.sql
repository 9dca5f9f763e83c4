-- Keeps order_watch: recomputes the seconds that the inserted events touch, and the time behind each.
-- Grain: one row a touched (user_id, venue, symbol, second). Read by the order rules, through order_watch.
-- Parameters (alert_rules, scope '*'): price_fade fade_ms; quote_stuffing burst_messages.
-- Cost: of user_orders the touched accounts between the block's first and last second, of order_watch their last five
-- minutes, of trades the block's seconds. Nothing grows with history.
-- The events of one second may come in several blocks: the block is united with what is stored, once per event_id.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_watch_mv TO order_watch AS
SELECT
    user_id,
    venue,
    symbol,
    second,
    user_tier,
    events,
    placed,
    cancelled,
    filled,
    cancelled_100ms,
    faded,
    self_trades,
    bid_levels,
    ask_levels,
    bids_pulled,
    asks_pulled,
    bought,
    sold,
    order_ids,
    trade_ids,
    toUInt32(sum(placed + cancelled) OVER minute) AS w_messages,
    toUInt32(sum(placed) OVER minute) AS w_placed,
    toUInt32(sum(cancelled) OVER minute) AS w_cancelled,
    toUInt32(sum(filled) OVER minute) AS w_filled,
    toUInt32(sum(cancelled_100ms) OVER minute) AS w_cancelled_100ms,
    sum(bids_pulled + asks_pulled) OVER minute AS w_pulled,
    sum(faded) OVER minute AS w_faded,
    toUInt16(sum(is_stuffed) OVER minute) AS w_stuffed_seconds,
    toUInt32(sum(placed) OVER five) AS f_placed,
    toUInt32(sum(filled) OVER five) AS f_filled,
    max(bid_levels) OVER ten AS t_bid_levels,
    max(ask_levels) OVER ten AS t_ask_levels,
    sum(bids_pulled) OVER ten AS t_bids_pulled,
    sum(asks_pulled) OVER ten AS t_asks_pulled,
    sum(bought) OVER ten AS t_bought,
    sum(sold) OVER ten AS t_sold
FROM
(
    SELECT
        *,
        toUnixTimestamp(second) AS unix_second,
        ((placed + cancelled) >= dictGet('alert_thresholds', 'value', ('quote_stuffing', '*', 'burst_messages'))) AND (cancelled_100ms >= (0.7 * placed)) AS is_stuffed
    FROM
    (
        SELECT *
        FROM
        (
        SELECT
            user_id,
            venue,
            symbol,
            toDateTime(event_time, 'UTC') AS second,
            max(user_tier) AS user_tier,
            toUInt32(count()) AS events,
            toUInt32(countIf(action IN ('new', 'replace'))) AS placed,
            toUInt32(countIf(action = 'cancel')) AS cancelled,
            toUInt32(uniqExactIf(trade_id, action = 'fill')) AS filled,
            toUInt32(countIf((action = 'cancel') AND (dateDiff('millisecond', order_time, event_time) < 100))) AS cancelled_100ms,
            sumIf(price * greatest(quantity - filled_quantity, 0), (action = 'cancel') AND (dateDiff('millisecond', take_time, event_time) <= dictGet('alert_thresholds', 'value', ('price_fade', '*', 'fade_ms')))) AS faded,
            toUInt32(uniqExactIf(trade_id, (action = 'fill') AND (counterparty_id = user_id))) AS self_trades,
            toUInt16(uniqExactIf(price, (action = 'new') AND (side = 'BUY'))) AS bid_levels,
            toUInt16(uniqExactIf(price, (action = 'new') AND (side = 'SELL'))) AS ask_levels,
            sumIf(price * greatest(quantity - filled_quantity, 0), (action = 'cancel') AND (side = 'BUY')) AS bids_pulled,
            sumIf(price * greatest(quantity - filled_quantity, 0), (action = 'cancel') AND (side = 'SELL')) AS asks_pulled,
            sumIf(price * quantity, (action = 'fill') AND (side = 'BUY')) AS bought,
            sumIf(price * quantity, (action = 'fill') AND (side = 'SELL')) AS sold,
            arraySlice(arrayConcat(groupUniqArrayIf(10)(order_id, action = 'cancel'), groupUniqArrayIf(10)(order_id, action != 'cancel')), 1, 10) AS order_ids,
            arraySlice(arrayConcat(groupUniqArrayIf(10)(trade_id, (action = 'fill') AND (counterparty_id = user_id)), groupUniqArrayIf(10)(trade_id, (action = 'fill') AND (counterparty_id != user_id))), 1, 10) AS trade_ids,
            max(fresh) AS is_fresh
        FROM
        (
            SELECT *
            FROM
            (
            SELECT
                user_id,
                user_tier,
                venue,
                symbol,
                event_id,
                event_time,
                action,
                side,
                order_id,
                trade_id,
                price,
                quantity,
                filled_quantity,
                order_time,
                counterparty_id,
                1 AS fresh
            FROM user_orders
            UNION ALL
            SELECT
                user_id,
                user_tier,
                venue,
                symbol,
                event_id,
                event_time,
                action,
                side,
                order_id,
                trade_id,
                price,
                quantity,
                filled_quantity,
                order_time,
                counterparty_id,
                0 AS fresh
            FROM user_orders_history
            WHERE ((user_id, venue, symbol) IN (SELECT user_id, venue, symbol FROM user_orders))
                AND (event_time >= (SELECT toStartOfSecond(min(event_time)) FROM user_orders)) AND (event_time < (SELECT max(event_time) + 1 FROM user_orders))
            )
            ORDER BY fresh DESC
            LIMIT 1 BY
                user_id,
                event_id
        ) AS known
        ASOF LEFT JOIN
        (
            SELECT
                venue,
                symbol,
                CAST(if(side = 'BUY', 'SELL', 'BUY'), 'Enum8(\'BUY\' = 1, \'SELL\' = 2)') AS hit_side,
                event_time AS take_time
            FROM trades
            WHERE ((venue, symbol) IN (SELECT venue, symbol FROM user_orders))
                AND (event_time >= (SELECT min(event_time) - 1 FROM user_orders)) AND (event_time <= (SELECT max(event_time) FROM user_orders))
        ) AS takes ON (known.venue = takes.venue) AND (known.symbol = takes.symbol) AND (known.side = takes.hit_side) AND (known.event_time >= takes.take_time)
        GROUP BY
            user_id,
            venue,
            symbol,
            second
        HAVING is_fresh
        UNION ALL
        SELECT
            user_id,
            venue,
            symbol,
            second,
            user_tier,
            events,
            placed,
            cancelled,
            filled,
            cancelled_100ms,
            faded,
            self_trades,
            bid_levels,
            ask_levels,
            bids_pulled,
            asks_pulled,
            bought,
            sold,
            order_ids,
            trade_ids,
            0 AS is_fresh
        FROM order_watch
        WHERE ((user_id, venue, symbol) IN (SELECT user_id, venue, symbol FROM user_orders))
            AND (second >= (SELECT toDateTime(min(event_time), 'UTC') - 299 FROM user_orders)) AND (second <= (SELECT toDateTime(max(event_time), 'UTC') FROM user_orders))
        )
        ORDER BY
            is_fresh DESC,
            events DESC
        LIMIT 1 BY
            user_id,
            venue,
            symbol,
            second
    )
)
WINDOW
    minute AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 59 PRECEDING AND CURRENT ROW),
    five AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 299 PRECEDING AND CURRENT ROW),
    ten AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 9 PRECEDING AND CURRENT ROW)
QUALIFY is_fresh;
