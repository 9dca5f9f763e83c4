-- The valid rows of market_l2 into book_topn.
CREATE MATERIALIZED VIEW IF NOT EXISTS book_topn_mv TO book_topn AS
SELECT
    event_time,
    window_start,
    venue,
    symbol,
    update_type,
    last_seq,
    price_scale,
    size_scale,
    bid_ticks,
    bid_lots,
    ask_ticks,
    ask_lots,
    depth_bps,
    bid_depth,
    ask_depth,
    partition,
    offset
FROM market_l2_landing
WHERE reject_reason = '';
