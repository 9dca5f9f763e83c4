-- Plain figures of the seconds that a block touches. Grain: one (user_id, venue, symbol, second). Fills order_seconds.
-- Parameter (alert_rules, scope '*'): price_fade fade_ms. Cost: of trades the block's seconds.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_seconds_mv TO order_seconds AS
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
    sumIf(open_amount, (action = 'cancel') AND (dateDiff('millisecond', take_time, event_time) <= dictGet('alert_thresholds', 'value', ('price_fade', '*', 'fade_ms')))) AS faded,
    toUInt32(uniqExactIf(trade_id, (action = 'fill') AND (counterparty_id = user_id))) AS self_trades,
    toUInt16(uniqExactIf(price, (action = 'new') AND (side = 'BUY'))) AS bid_levels,
    toUInt16(uniqExactIf(price, (action = 'new') AND (side = 'SELL'))) AS ask_levels,
    sumIf(open_amount, (action = 'cancel') AND (side = 'BUY')) AS bids_pulled,
    sumIf(open_amount, (action = 'cancel') AND (side = 'SELL')) AS asks_pulled,
    sumIf(amount, (action = 'fill') AND (side = 'BUY')) AS bought,
    sumIf(amount, (action = 'fill') AND (side = 'SELL')) AS sold,
    arraySlice(arrayDistinct(arrayConcat(groupUniqArrayIf(10)(order_id, action = 'cancel'), groupUniqArrayIf(10)(order_id, action != 'cancel'))), 1, 10) AS order_ids,
    arraySlice(arrayConcat(groupUniqArrayIf(10)(trade_id, (action = 'fill') AND (counterparty_id = user_id)), groupUniqArrayIf(10)(trade_id, (action = 'fill') AND (counterparty_id != user_id))), 1, 10) AS trade_ids
FROM order_known
ASOF LEFT JOIN
(
    SELECT
        venue,
        symbol,
        CAST(if(side = 'BUY', 'SELL', 'BUY'), 'Enum8(\'BUY\' = 1, \'SELL\' = 2)') AS hit_side,
        event_time AS take_time
    FROM trades
    WHERE ((venue, symbol) IN (SELECT venue, symbol FROM order_known))
        AND (event_time >= (SELECT min(event_time) - 1 FROM order_known)) AND (event_time <= (SELECT max(event_time) FROM order_known))
) AS takes ON (order_known.venue = takes.venue) AND (order_known.symbol = takes.symbol) AND (order_known.side = takes.hit_side) AND (order_known.event_time >= takes.take_time)
GROUP BY
    user_id,
    venue,
    symbol,
    second
HAVING max(fresh);
