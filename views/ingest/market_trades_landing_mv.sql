-- market_trades_landing_mv: parses each line of topic market_trades and names the first breach of its contract.
-- Grain: one row a line. Read by nobody: fills market_trades_landing.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
-- `complete`: every name in the row was read as a field of the right type; only other rows are looked at more closely.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_landing_mv TO market_trades_landing
AS WITH
    JSONExtract(raw, 'Tuple(venue Nullable(String), symbol Nullable(String), trade_id Dynamic, event_time Dynamic, receive_time Dynamic, price Dynamic, quantity Dynamic, side Nullable(String), taker Dynamic, order_id Dynamic)') AS r,
    ifNull(dynamicElement(r.trade_id, 'UInt64'), accurateCastOrNull(dynamicElement(r.trade_id, 'Int64'), 'UInt64')) AS in_trade_id,
    dynamicElement(r.event_time, 'Int64') AS in_event_time,
    dynamicElement(r.receive_time, 'Int64') AS in_receive_time,
    ifNull(dynamicElement(r.price, 'Float64'), toFloat64(dynamicElement(r.price, 'Int64'))) AS in_price,
    ifNull(dynamicElement(r.quantity, 'Float64'), toFloat64(dynamicElement(r.quantity, 'Int64'))) AS in_quantity,
    dynamicElement(r.taker, 'Bool') AS in_taker,
    ifNull(dynamicElement(r.order_id, 'UInt64'), accurateCastOrNull(dynamicElement(r.order_id, 'Int64'), 'UInt64')) AS in_order_id,
    toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms,
    startsWith(raw, '{') AND (JSONLength(raw) > 0) AND (JSONLength(raw) = ((r.venue IS NOT NULL) + (r.symbol IS NOT NULL) + (in_trade_id IS NOT NULL) + (in_event_time IS NOT NULL) + (in_receive_time IS NOT NULL) + (in_price IS NOT NULL) + (in_quantity IS NOT NULL) + (r.side IS NOT NULL) + (in_taker IS NOT NULL) + (in_order_id IS NOT NULL))) AS complete
SELECT
    ifNull(r.venue, '') AS venue,
    ifNull(r.symbol, '') AS symbol,
    ifNull(in_trade_id, 0) AS trade_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_price, 0) AS price,
    ifNull(in_quantity, 0) AS quantity,
    ifNull(r.side, '') AS side,
    ifNull(in_taker, false) AS taker,
    in_order_id AS order_id,
    raw,
    multiIf(
        (NOT complete) AND (JSONType(raw) != 'Object'), 'not a JSON object',
        r.venue IS NULL, 'venue: missing',
        ((ascii(r.venue) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (r.venue IN ('true', 'false'))) AND (JSONType(raw, 'venue') != 'String'), 'venue: not a string',
        r.venue = '', 'venue: empty',
        length(r.venue) > 32, 'venue: longer than 32 bytes',
        r.symbol IS NULL, 'symbol: missing',
        ((ascii(r.symbol) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (r.symbol IN ('true', 'false'))) AND (JSONType(raw, 'symbol') != 'String'), 'symbol: not a string',
        r.symbol = '', 'symbol: empty',
        length(r.symbol) > 64, 'symbol: longer than 64 bytes',
        in_trade_id IS NULL, concat('trade_id: ', transform(toString(JSONType(raw, 'trade_id')), ['Null', 'Int64', 'UInt64'], ['missing', 'out of bounds', 'out of bounds'], 'not an integer')),
        in_event_time IS NULL, concat('event_time: ', transform(toString(JSONType(raw, 'event_time')), ['Null', 'Int64', 'UInt64'], ['missing', 'out of bounds', 'out of bounds'], 'not an integer')),
        (in_event_time < 1230768000000) OR (in_event_time > latest_ms), 'event_time: out of bounds',
        in_receive_time IS NULL, concat('receive_time: ', transform(toString(JSONType(raw, 'receive_time')), ['Null', 'Int64', 'UInt64'], ['missing', 'out of bounds', 'out of bounds'], 'not an integer')),
        (in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)), 'receive_time: out of bounds',
        in_price IS NULL, concat('price: ', if(JSONType(raw, 'price') = 'Null', 'missing', 'not a number')),
        (in_price <= 0) OR (in_price > 1000000000000), 'price: out of bounds',
        in_quantity IS NULL, concat('quantity: ', if(JSONType(raw, 'quantity') = 'Null', 'missing', 'not a number')),
        (in_quantity <= 0) OR (in_quantity > 1000000000000000), 'quantity: out of bounds',
        r.side IS NULL, 'side: missing',
        r.side NOT IN ('BUY', 'SELL'), 'side: not one of BUY, SELL',
        in_taker IS NULL, concat('taker: ', if(JSONType(raw, 'taker') = 'Null', 'missing', 'not a boolean')),
        (in_order_id IS NULL) AND ((NOT complete) AND (JSONType(raw, 'order_id') != 'Null')), concat('order_id: ', transform(toString(JSONType(raw, 'order_id')), ['Null', 'Int64', 'UInt64'], ['missing', 'out of bounds', 'out of bounds'], 'not an integer')),
        (NOT complete) AND (NOT hasAll(['venue', 'symbol', 'trade_id', 'event_time', 'receive_time', 'price', 'quantity', 'side', 'taker', 'order_id'], JSONExtractKeys(raw))), concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has(['venue', 'symbol', 'trade_id', 'event_time', 'receive_time', 'price', 'quantity', 'side', 'taker', 'order_id'], k)), JSONExtractKeys(raw)), 64)),
        (NOT complete) AND (length(arrayDistinct(JSONExtractKeys(raw))) < JSONLength(raw)), 'duplicate field',
        '') AS reject_reason,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_market_trades;
