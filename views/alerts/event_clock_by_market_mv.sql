-- A book moves the clock of the rules about it. Grain: one row a block and book; see event_clock.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_clock_by_market_mv TO event_clock AS
SELECT
    'book' AS stream,
    venue,
    symbol,
    quantileExact(0.5)(second) AS event_time
FROM liquidity_1s
GROUP BY
    venue,
    symbol;
