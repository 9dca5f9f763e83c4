-- market_trades_odd_landing_mv: looks closer at the odd rows of topic market_trades and names the first breach of its contract.
-- Grain: one row. Read by nobody: fills market_trades_landing.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
-- It looks at the names, those with a value (`filled`) and those whose value would be coerced (`mistyped`);
-- `ignore` is always false, and has these computed once instead of anew in each lazy branch.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_odd_landing_mv TO market_trades_landing
AS SELECT
    ifNull(in_venue, '') AS venue,
    ifNull(in_symbol, '') AS symbol,
    ifNull(in_trade_id, 0) AS trade_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_price, 0) AS price,
    ifNull(in_quantity, 0) AS quantity,
    ifNull(in_side, '') AS side,
    ifNull(in_taker, false) AS taker,
    ifNull(in_order_id, 0) AS order_id,
    raw,
    multiIf(
        ignore(keys, filled, mistyped), '',
        JSONType(raw) != 'Object', 'not a JSON object',
        length(arrayDistinct(keys)) < length(keys), 'duplicate field',
        has(mistyped, 'venue'), 'venue: not a string',
        in_venue IS NULL, 'venue: missing',
        in_venue = '', 'venue: empty',
        length(in_venue) > 32, 'venue: longer than 32 bytes',
        has(mistyped, 'symbol'), 'symbol: not a string',
        in_symbol IS NULL, 'symbol: missing',
        in_symbol = '', 'symbol: empty',
        length(in_symbol) > 64, 'symbol: longer than 64 bytes',
        has(mistyped, 'trade_id'), 'trade_id: not an integer',
        (in_trade_id IS NULL) AND has(filled, 'trade_id'), 'trade_id: out of bounds',
        in_trade_id IS NULL, 'trade_id: missing',
        has(mistyped, 'event_time'), 'event_time: not an integer',
        (in_event_time IS NULL) AND has(filled, 'event_time'), 'event_time: out of bounds',
        in_event_time IS NULL, 'event_time: missing',
        (in_event_time < 1230768000000) OR (in_event_time > latest_ms), 'event_time: out of bounds',
        has(mistyped, 'receive_time'), 'receive_time: not an integer',
        (in_receive_time IS NULL) AND has(filled, 'receive_time'), 'receive_time: out of bounds',
        in_receive_time IS NULL, 'receive_time: missing',
        (in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)), 'receive_time: out of bounds',
        has(mistyped, 'price'), 'price: not a number',
        in_price IS NULL, 'price: missing',
        (in_price <= 0) OR (in_price > 1000000000000), 'price: out of bounds',
        has(mistyped, 'quantity'), 'quantity: not a number',
        in_quantity IS NULL, 'quantity: missing',
        (in_quantity <= 0) OR (in_quantity > 1000000000000000), 'quantity: out of bounds',
        in_side NOT IN ('BUY', 'SELL'), 'side: not one of BUY, SELL',
        in_side IS NULL, 'side: missing',
        has(mistyped, 'taker'), 'taker: not a boolean',
        in_taker IS NULL, 'taker: missing',
        has(mistyped, 'order_id'), 'order_id: not an integer',
        (in_order_id IS NULL) AND has(filled, 'order_id'), 'order_id: out of bounds',
        NOT hasAll(['venue', 'symbol', 'trade_id', 'event_time', 'receive_time', 'price', 'quantity', 'side', 'taker', 'order_id'], keys), concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has(['venue', 'symbol', 'trade_id', 'event_time', 'receive_time', 'price', 'quantity', 'side', 'taker', 'order_id'], k)), keys), 64)),
        '') AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM
(
    SELECT
        *,
        toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms,
        JSONExtractKeysAndValuesRaw(raw) AS pairs,
        arrayMap(p -> (p.1), pairs) AS keys,
        arrayMap(p -> (p.1), arrayFilter(p -> (p.2 != 'null'), pairs)) AS filled,
        arrayMap(p -> (p.1), arrayFilter(p -> ((p.2 != 'null') AND (concat(p.1, ':', multiIf(startsWith(p.2, '"'), 's', startsWith(p.2, '['), 'a', p.2 IN ('true', 'false'), 'b', match(p.2, '^-?[0-9]+$'), 'i', match(p.2, '^-?[0-9]'), 'd', '')) NOT IN ('venue:s', 'symbol:s', 'trade_id:i', 'event_time:i', 'receive_time:i', 'price:i', 'price:d', 'quantity:i', 'quantity:d', 'side:s', 'taker:b', 'order_id:i'))), pairs)) AS mistyped
    FROM market_trades_odd
);
