-- The books that had a sample within a day. Grain: one row a (venue, symbol).
-- Read by: the variables venue and symbol of the dashboards, the table of all books.
CREATE VIEW IF NOT EXISTS dash_books AS
SELECT
    venue,
    symbol,
    max(second) AS last_second
FROM liquidity_1s
WHERE second >= (now('UTC') - INTERVAL 1 DAY)
GROUP BY
    venue,
    symbol;
