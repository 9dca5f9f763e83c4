-- market_trades_parsed_mv: reads each line of topic market_trades as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills market_trades_parsed.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_parsed_mv TO market_trades_parsed
AS WITH JSONExtract(raw, 'Tuple(venue Nullable(String), symbol Nullable(String), trade_id Dynamic, event_time Dynamic, receive_time Dynamic, price Dynamic, quantity Dynamic, side Nullable(String), taker Dynamic, order_id Dynamic)') AS r
SELECT
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'trade_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'trade_id'), 'Int64'))) AS in_trade_id,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'receive_time'), 'Int64') AS in_receive_time,
    ifNull(dynamicElement(tupleElement(r, 'price'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'price'), 'Int64'))) AS in_price,
    ifNull(dynamicElement(tupleElement(r, 'quantity'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'quantity'), 'Int64'))) AS in_quantity,
    tupleElement(r, 'side') AS in_side,
    dynamicElement(tupleElement(r, 'taker'), 'Bool') AS in_taker,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'order_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'order_id'), 'Int64'))) AS in_order_id,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_venue IS NOT NULL, in_symbol IS NOT NULL, in_trade_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_price IS NOT NULL, in_quantity IS NOT NULL, in_side IS NOT NULL, in_taker IS NOT NULL, in_order_id IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_venue, in_symbol])) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_market_trades;
