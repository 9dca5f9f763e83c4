-- Rollup of order events per account, book and second. Ignores repeats: see order_flow_1s.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_flow_1s_mv TO order_flow_1s AS
WITH
    CAST(map(), 'Map(UInt64, Float64)') AS no_amount,
    assumeNotNull(ifNull(order_id, 0)) AS order_key,
    assumeNotNull(ifNull(trade_id, 0)) AS trade_key,
    assumeNotNull(ifNull(price * quantity, 0.)) AS notional,
    assumeNotNull(ifNull(price * greatest(quantity - ifNull(filled_quantity, 0), 0), 0.)) AS open_notional
SELECT
    user_id,
    venue,
    symbol,
    toDateTime(event_time, 'UTC') AS second,
    max(toString(user_tier)) AS user_tier,
    maxMap(if(action = 'new', map(order_key, notional), no_amount)) AS placed,
    maxMap(if(action = 'replace', map(order_key, notional), no_amount)) AS replaced,
    maxMap(if(action = 'cancel', map(order_key, open_notional), no_amount)) AS cancelled,
    maxMap(if((action = 'cancel') AND (toUnixTimestamp64Milli(ifNull(order_time, toDateTime64(0, 3, 'UTC'))) > 0), map(order_key, toUInt32(least(greatest(assumeNotNull(dateDiff('millisecond', ifNull(order_time, event_time), event_time)), 0), 4294967295))), CAST(map(), 'Map(UInt64, UInt32)'))) AS lifetime_ms,
    maxMap(if(action = 'fill', map(trade_key, notional), no_amount)) AS filled,
    maxMap(if((action = 'fill') AND (ifNull(counterparty_id, 0) = user_id), map(trade_key, notional), no_amount)) AS self_traded,
    maxMap(if(action IN ('reject', 'expire'), map(order_key, toUInt8(1)), CAST(map(), 'Map(UInt64, UInt8)'))) AS refused
FROM user_actions_landing
WHERE (reject_reason = '') AND (action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire'))
GROUP BY
    user_id,
    venue,
    symbol,
    second;
