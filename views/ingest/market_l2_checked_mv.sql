-- market_l2_checked_mv: tells the rows of topic market_l2 that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills market_l2_checked.
-- Generated from contracts/market_l2.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_l2_checked_mv TO market_l2_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
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
    (NOT foreign) AND (names = greatest(1, arraySum([in_venue IS NOT NULL, in_symbol IS NOT NULL, in_update_type IS NOT NULL, in_window_start IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_first_seq IS NOT NULL, in_last_seq IS NOT NULL, in_diffs IS NOT NULL, in_price_scale IS NOT NULL, in_size_scale IS NOT NULL, notEmpty(in_bid_ticks), notEmpty(in_bid_lots), notEmpty(in_ask_ticks), notEmpty(in_ask_lots), notEmpty(in_delta_bid_ticks), notEmpty(in_delta_bid_lots), notEmpty(in_delta_ask_ticks), notEmpty(in_delta_ask_lots), notEmpty(in_depth_bps), notEmpty(in_bid_depth), notEmpty(in_ask_depth), in_expected_seq IS NOT NULL, in_received_seq IS NOT NULL, in_reason IS NOT NULL]))) AND (NOT ifNull(
        (in_venue IS NULL)
        OR (in_venue = '')
        OR (length(in_venue) > 32)
        OR (in_symbol IS NULL)
        OR (in_symbol = '')
        OR (length(in_symbol) > 64)
        OR (in_update_type NOT IN ('snapshot', 'delta', 'gap'))
        OR (in_update_type IS NULL)
        OR (in_window_start IS NULL)
        OR ((in_window_start < 1230768000000) OR (in_window_start > latest_ms))
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_receive_time IS NULL)
        OR ((in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)))
        OR (in_first_seq IS NULL)
        OR (in_last_seq IS NULL)
        OR (in_diffs IS NULL)
        OR ((in_diffs < 0) OR (in_diffs > 4294967295))
        OR (in_price_scale IS NULL)
        OR ((in_price_scale < 0) OR (in_price_scale > 18))
        OR (in_size_scale IS NULL)
        OR ((in_size_scale < 0) OR (in_size_scale > 18))
        OR (length(in_bid_ticks) > 1000)
        OR (arrayMin(in_bid_ticks) < 0)
        OR (length(in_bid_lots) > 1000)
        OR (arrayMin(in_bid_lots) < 0)
        OR (length(in_ask_ticks) > 1000)
        OR (arrayMin(in_ask_ticks) < 0)
        OR (length(in_ask_lots) > 1000)
        OR (arrayMin(in_ask_lots) < 0)
        OR (length(in_delta_bid_ticks) > 20000)
        OR (arrayMin(in_delta_bid_ticks) < 0)
        OR (length(in_delta_bid_lots) > 20000)
        OR (length(in_delta_ask_ticks) > 20000)
        OR (arrayMin(in_delta_ask_ticks) < 0)
        OR (length(in_delta_ask_lots) > 20000)
        OR (length(in_depth_bps) > 20)
        OR ((arrayMin(in_depth_bps) < 0) OR (arrayMax(in_depth_bps) > 65535))
        OR (length(in_bid_depth) > 20)
        OR (arrayMin(in_bid_depth) < 0)
        OR (length(in_ask_depth) > 20)
        OR (arrayMin(in_ask_depth) < 0)
        OR (in_reason NOT IN ('sequence', 'checksum', 'crossed', 'stale', 'disconnect'))
        OR ((in_reason IS NULL) AND (in_update_type IN ('gap')))
        OR (in_window_start > in_event_time)
        OR (in_first_seq > in_last_seq)
        OR (length(in_bid_ticks) != length(in_bid_lots))
        OR (length(in_ask_ticks) != length(in_ask_lots))
        OR (length(in_delta_bid_ticks) != length(in_delta_bid_lots))
        OR (length(in_delta_ask_ticks) != length(in_delta_ask_lots))
        OR (length(in_depth_bps) != length(in_bid_depth))
        OR (length(in_depth_bps) != length(in_ask_depth))
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM market_l2_parsed;
