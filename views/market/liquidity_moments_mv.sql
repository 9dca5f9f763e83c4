-- Seconds of liquidity_1s with a depth sample in the block: see liquidity_moments.
CREATE MATERIALIZED VIEW IF NOT EXISTS liquidity_moments_mv TO liquidity_moments AS
SELECT DISTINCT
    venue,
    symbol,
    second
FROM liquidity_1s
WHERE notEmpty(bid_depth);
