-- market_l2_odd_mv: takes out the rows of topic market_l2 that need a closer look.
-- Grain: one line of a message. Read by nobody: fills market_l2_odd.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_l2_odd_mv TO market_l2_odd
AS SELECT
    in_venue,
    in_symbol,
    in_update_type,
    in_window_start,
    in_event_time,
    in_receive_time,
    in_first_seq,
    in_last_seq,
    in_diffs,
    in_price_scale,
    in_size_scale,
    in_bid_ticks,
    in_bid_lots,
    in_ask_ticks,
    in_ask_lots,
    in_delta_bid_ticks,
    in_delta_bid_lots,
    in_delta_ask_ticks,
    in_delta_ask_lots,
    in_depth_bps,
    in_bid_depth,
    in_ask_depth,
    in_expected_seq,
    in_received_seq,
    in_reason,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM market_l2_checked
WHERE NOT valid;
