-- market_l2_parsed_mv: reads each line of topic market_l2 as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills market_l2_parsed through market_l2_gate.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_l2_parsed_mv TO market_l2_gate
AS WITH JSONExtract(raw, 'Tuple(venue Nullable(String), symbol Nullable(String), update_type Nullable(String), window_start Nullable(Int64), event_time Nullable(Int64), receive_time Nullable(Int64), first_seq Nullable(UInt64), last_seq Nullable(UInt64), diffs Nullable(Int64), price_scale Nullable(Int64), size_scale Nullable(Int64), bid_ticks Array(Int64), bid_lots Array(Int64), ask_ticks Array(Int64), ask_lots Array(Int64), delta_bid_ticks Array(Int64), delta_bid_lots Array(Int64), delta_ask_ticks Array(Int64), delta_ask_lots Array(Int64), depth_bps Array(Int64), bid_depth Array(Float64), ask_depth Array(Float64), expected_seq Nullable(UInt64), received_seq Nullable(UInt64), reason Nullable(String))') AS r
SELECT
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    tupleElement(r, 'update_type') AS in_update_type,
    tupleElement(r, 'window_start') AS in_window_start,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'receive_time') AS in_receive_time,
    tupleElement(r, 'first_seq') AS in_first_seq,
    tupleElement(r, 'last_seq') AS in_last_seq,
    tupleElement(r, 'diffs') AS in_diffs,
    tupleElement(r, 'price_scale') AS in_price_scale,
    tupleElement(r, 'size_scale') AS in_size_scale,
    tupleElement(r, 'bid_ticks') AS in_bid_ticks,
    tupleElement(r, 'bid_lots') AS in_bid_lots,
    tupleElement(r, 'ask_ticks') AS in_ask_ticks,
    tupleElement(r, 'ask_lots') AS in_ask_lots,
    tupleElement(r, 'delta_bid_ticks') AS in_delta_bid_ticks,
    tupleElement(r, 'delta_bid_lots') AS in_delta_bid_lots,
    tupleElement(r, 'delta_ask_ticks') AS in_delta_ask_ticks,
    tupleElement(r, 'delta_ask_lots') AS in_delta_ask_lots,
    tupleElement(r, 'depth_bps') AS in_depth_bps,
    tupleElement(r, 'bid_depth') AS in_bid_depth,
    tupleElement(r, 'ask_depth') AS in_ask_depth,
    tupleElement(r, 'expected_seq') AS in_expected_seq,
    tupleElement(r, 'received_seq') AS in_received_seq,
    tupleElement(r, 'reason') AS in_reason,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:venue|symbol)"\\s*:\\s*[^"n\\s]|"(?:window_start|event_time|receive_time|first_seq|last_seq|diffs|price_scale|size_scale|expected_seq|received_seq)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|"(?:bid_ticks|bid_lots|ask_ticks|ask_lots|delta_bid_ticks|delta_bid_lots|delta_ask_ticks|delta_ask_lots|depth_bps|bid_depth|ask_depth)"\\s*:\\s*[^\\[n\\s]|"(?:bid_depth|ask_depth)"\\s*:\\s*\\[[-+0-9.eE,\\s]*[^-+0-9.eE,\\s\\]]|"(?:bid_ticks|bid_lots|ask_ticks|ask_lots|delta_bid_ticks|delta_bid_lots|delta_ask_ticks|delta_ask_lots|depth_bps)"\\s*:\\s*\\[[-0-9,\\s]*(?:[^-0-9,\\s\\]]|[0-9]{19})|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_market_l2;
