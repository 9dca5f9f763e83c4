-- What rested at each price at the end of each second: the best levels of the second's last window.
-- Grain: one row a (venue, symbol, second, side, price). Read by: the depth heat map of the Market dashboard, which gives
-- a venue, a symbol and a range of seconds. side: bid or ask; price and quantity in the venue's units.
CREATE VIEW IF NOT EXISTS dash_depth AS
SELECT
    venue,
    symbol,
    second,
    tupleElement(level, 1) AS side,
    tupleElement(level, 2) AS price,
    tupleElement(level, 3) AS quantity
FROM
(
    SELECT
        venue,
        symbol,
        toDateTime(window_start, 'UTC') AS second,
        argMax(arrayConcat(arrayMap(x -> ('bid', x.1, x.2), bids), arrayMap(x -> ('ask', x.1, x.2), asks)), last_seq) AS levels
    FROM book_topn FINAL
    WHERE update_type != 'gap'
    GROUP BY
        venue,
        symbol,
        second
)
ARRAY JOIN levels AS level;
