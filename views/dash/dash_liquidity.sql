-- Liquidity per second as people read it: touch, mid, spread and depth within 5, 10 and 25 bps of the mid.
-- Grain: one row a (venue, symbol, second). Read by: the Market dashboard, the page of the node, rules' history.
CREATE VIEW IF NOT EXISTS dash_liquidity AS
SELECT
    venue,
    symbol,
    second,
    argMaxMerge(bid) AS best_bid,
    argMaxMerge(ask) AS best_ask,
    (best_bid + best_ask) / 2 AS mid,
    min(spread_bps_min) AS min_spread_bps,
    max(spread_bps_max) AS max_spread_bps,
    maxMap(bid_depth) AS bids_within,
    maxMap(ask_depth) AS asks_within,
    uniqMerge(windows) AS window_count
FROM liquidity_1s
GROUP BY
    venue,
    symbol,
    second;
