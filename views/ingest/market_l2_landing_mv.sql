-- market_l2_landing_mv: types the rows of topic market_l2 that obey its contract.
-- Grain: one row. Read by nobody: fills market_l2_landing, together with market_l2_odd_landing_mv.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_l2_landing_mv TO market_l2_landing
AS SELECT
    ifNull(in_venue, '') AS venue,
    ifNull(in_symbol, '') AS symbol,
    ifNull(in_update_type, '') AS update_type,
    fromUnixTimestamp64Milli(ifNull(in_window_start, 0), 'UTC') AS window_start,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_first_seq, 0) AS first_seq,
    ifNull(in_last_seq, 0) AS last_seq,
    toUInt32(ifNull(in_diffs, 0)) AS diffs,
    toUInt8(ifNull(in_price_scale, 0)) AS price_scale,
    toUInt8(ifNull(in_size_scale, 0)) AS size_scale,
    in_bid_ticks AS bid_ticks,
    in_bid_lots AS bid_lots,
    in_ask_ticks AS ask_ticks,
    in_ask_lots AS ask_lots,
    in_delta_bid_ticks AS delta_bid_ticks,
    in_delta_bid_lots AS delta_bid_lots,
    in_delta_ask_ticks AS delta_ask_ticks,
    in_delta_ask_lots AS delta_ask_lots,
    CAST(in_depth_bps, 'Array(UInt16)') AS depth_bps,
    in_bid_depth AS bid_depth,
    in_ask_depth AS ask_depth,
    in_expected_seq AS expected_seq,
    in_received_seq AS received_seq,
    in_reason AS reason,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM market_l2_checked
WHERE valid;
