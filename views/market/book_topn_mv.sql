-- The valid rows of market_l2 into book_topn. Depth comes as a quantity and is a number of lots (at most what an Int64
-- holds, so that no row can stop the topic).
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
    arrayMap(q -> toInt64(least(round(q * intExp10(size_scale)), 9e18)), bid_depth) AS bid_depth_lots,
    arrayMap(q -> toInt64(least(round(q * intExp10(size_scale)), 9e18)), ask_depth) AS ask_depth_lots,
    partition,
    offset
FROM market_l2_landing
WHERE reject_reason = '';
