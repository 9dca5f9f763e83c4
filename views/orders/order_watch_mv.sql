-- Keeps order_watch: the seconds that a block touches, each with the time behind it.
-- Grain: one row a touched (user_id, venue, symbol, second). Read by the order rules, through order_watch.
-- Parameter (alert_rules, scope '*'): quote_stuffing burst_messages.
-- Cost: of order_watch the touched accounts' last five minutes. Nothing grows with history.
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
    toUInt16(sum(((placed + cancelled) >= dictGet('alert_thresholds', 'value', ('quote_stuffing', '*', 'burst_messages'))) AND (cancelled_100ms >= (0.7 * placed))) OVER minute) AS w_stuffed_seconds,
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
    SELECT *
    FROM
    (
        SELECT
            *,
            1 AS is_fresh,
            toUnixTimestamp(second) AS unix_second
        FROM order_seconds
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
            0 AS is_fresh,
            toUnixTimestamp(second) AS unix_second
        FROM order_watch
        WHERE ((user_id, venue, symbol) IN (SELECT user_id, venue, symbol FROM order_seconds))
            AND (second >= (SELECT min(second) - 299 FROM order_seconds)) AND (second <= (SELECT max(second) FROM order_seconds))
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
WINDOW
    minute AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 59 PRECEDING AND CURRENT ROW),
    five AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 299 PRECEDING AND CURRENT ROW),
    ten AS (PARTITION BY user_id, venue, symbol ORDER BY unix_second ASC RANGE BETWEEN 9 PRECEDING AND CURRENT ROW)
QUALIFY is_fresh;
