-- market_l2_parsed_mv: reads each line of topic market_l2 as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills market_l2_parsed.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_l2_parsed_mv TO market_l2_parsed
AS WITH JSONExtract(raw, 'Tuple(venue Nullable(String), symbol Nullable(String), update_type Nullable(String), window_start Dynamic, event_time Dynamic, receive_time Dynamic, first_seq Dynamic, last_seq Dynamic, diffs Dynamic, price_scale Dynamic, size_scale Dynamic, bid_ticks Array(Int64), bid_lots Array(Int64), ask_ticks Array(Int64), ask_lots Array(Int64), delta_bid_ticks Array(Int64), delta_bid_lots Array(Int64), delta_ask_ticks Array(Int64), delta_ask_lots Array(Int64), depth_bps Array(Int64), bid_depth Array(Float64), ask_depth Array(Float64), expected_seq Dynamic, received_seq Dynamic, reason Nullable(String))') AS r
SELECT
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    tupleElement(r, 'update_type') AS in_update_type,
    dynamicElement(tupleElement(r, 'window_start'), 'Int64') AS in_window_start,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'receive_time'), 'Int64') AS in_receive_time,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'first_seq'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'first_seq'), 'Int64'))) AS in_first_seq,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'last_seq'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'last_seq'), 'Int64'))) AS in_last_seq,
    dynamicElement(tupleElement(r, 'diffs'), 'Int64') AS in_diffs,
    dynamicElement(tupleElement(r, 'price_scale'), 'Int64') AS in_price_scale,
    dynamicElement(tupleElement(r, 'size_scale'), 'Int64') AS in_size_scale,
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
    ifNull(toInt128(dynamicElement(tupleElement(r, 'expected_seq'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'expected_seq'), 'Int64'))) AS in_expected_seq,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'received_seq'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'received_seq'), 'Int64'))) AS in_received_seq,
    tupleElement(r, 'reason') AS in_reason,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_venue IS NOT NULL, in_symbol IS NOT NULL, in_update_type IS NOT NULL, in_window_start IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_first_seq IS NOT NULL, in_last_seq IS NOT NULL, in_diffs IS NOT NULL, in_price_scale IS NOT NULL, in_size_scale IS NOT NULL, notEmpty(in_bid_ticks), notEmpty(in_bid_lots), notEmpty(in_ask_ticks), notEmpty(in_ask_lots), notEmpty(in_delta_bid_ticks), notEmpty(in_delta_bid_lots), notEmpty(in_delta_ask_ticks), notEmpty(in_delta_ask_lots), notEmpty(in_depth_bps), notEmpty(in_bid_depth), notEmpty(in_ask_depth), in_expected_seq IS NOT NULL, in_received_seq IS NOT NULL, in_reason IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_venue, in_symbol])) AND (NOT match(raw, '"(bid_depth|ask_depth)"\\s*:\\s*\\[[-+0-9.eE,\\s]*[^-+0-9.eE,\\s\\]]|"(bid_ticks|bid_lots|ask_ticks|ask_lots|delta_bid_ticks|delta_bid_lots|delta_ask_ticks|delta_ask_lots|depth_bps)"\\s*:\\s*\\[[-0-9,\\s]*(?:[^-0-9,\\s\\]]|[0-9]{19})')) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_market_l2;
