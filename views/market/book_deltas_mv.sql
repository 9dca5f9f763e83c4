-- The valid rows of market_l2 into book_deltas.
CREATE MATERIALIZED VIEW IF NOT EXISTS book_deltas_mv TO book_deltas AS
SELECT
    event_time,
    window_start,
    venue,
    symbol,
    update_type,
    first_seq,
    last_seq,
    diffs,
    price_scale,
    size_scale,
    delta_bid_ticks AS bid_ticks,
    delta_bid_lots AS bid_lots,
    delta_ask_ticks AS ask_ticks,
    delta_ask_lots AS ask_lots,
    expected_seq,
    received_seq,
    ifNull(reason, '') AS reason,
    receive_time,
    partition,
    offset
FROM market_l2_landing
WHERE reject_reason = '';
