-- market_trades_parsed_mv: reads each line of topic market_trades as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills market_trades_parsed through market_trades_gate.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_parsed_mv TO market_trades_gate
AS WITH JSONExtract(raw, 'Tuple(venue Nullable(String), symbol Nullable(String), trade_id Nullable(UInt64), event_time Nullable(Int64), receive_time Nullable(Int64), price Nullable(Float64), quantity Nullable(Float64), side Nullable(String), taker Nullable(Bool), order_id Nullable(UInt64))') AS r
SELECT
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    tupleElement(r, 'trade_id') AS in_trade_id,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'receive_time') AS in_receive_time,
    tupleElement(r, 'price') AS in_price,
    tupleElement(r, 'quantity') AS in_quantity,
    tupleElement(r, 'side') AS in_side,
    tupleElement(r, 'taker') AS in_taker,
    tupleElement(r, 'order_id') AS in_order_id,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:venue|symbol)"\\s*:\\s*[^"n\\s]|"(?:taker)"\\s*:\\s*[^tfn\\s]|"(?:price|quantity)"\\s*:\\s*["tf\\[{]|"(?:trade_id|event_time|receive_time|order_id)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_market_trades;
