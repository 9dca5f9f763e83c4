-- Rollup of market_l2 per second: touch, spread, depth in bands. Ignores repeats: see liquidity_1s.
-- Depth is taken in whole lots, as book_topn keeps it: a rebuild from there gives the same rows.
-- A window without both sides (a gap, an empty book) tells nothing about liquidity and is left out.
CREATE MATERIALIZED VIEW IF NOT EXISTS liquidity_1s_mv TO liquidity_1s AS
SELECT
    venue,
    symbol,
    toStartOfSecond(event_time) AS second,
    argMaxState(best_bid, last_seq) AS bid,
    argMaxState(best_ask, last_seq) AS ask,
    min(spread_bps) AS spread_bps_min,
    max(spread_bps) AS spread_bps_max,
    maxMap(mapFromArrays(depth_bps, bid_depth)) AS bid_depth,
    maxMap(mapFromArrays(depth_bps, ask_depth)) AS ask_depth,
    uniqState(window_start) AS windows
FROM
(
    SELECT
        venue,
        symbol,
        event_time,
        window_start,
        last_seq,
        depth_bps,
        arrayMap(q -> (toInt64(least(round(q * intExp10(size_scale)), 9e18)) / intExp10(size_scale)), bid_depth) AS bid_depth,
        arrayMap(q -> (toInt64(least(round(q * intExp10(size_scale)), 9e18)) / intExp10(size_scale)), ask_depth) AS ask_depth,
        bid_ticks[1] / exp10(price_scale) AS best_bid,
        ask_ticks[1] / exp10(price_scale) AS best_ask,
        (best_ask - best_bid) / ((best_ask + best_bid) / 2) * 10000 AS spread_bps
    FROM market_l2_landing
    WHERE reject_reason = '' AND notEmpty(bid_ticks) AND notEmpty(ask_ticks)
)
GROUP BY
    venue,
    symbol,
    second;
