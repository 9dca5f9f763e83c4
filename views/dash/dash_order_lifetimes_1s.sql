-- How long cancelled orders lived: quantiles in ms, and the shares cancelled within 100 ms, 500 ms and 1 s.
-- Grain: one row a (user_id, venue, symbol, second) with a cancel of known age. Read by: analysts.
CREATE VIEW IF NOT EXISTS dash_order_lifetimes_1s AS
SELECT
    user_id,
    venue,
    symbol,
    second,
    length(ages) AS cancels,
    arrayReduce('quantileExact(0.1)', ages) AS p10_ms,
    arrayReduce('quantileExact(0.5)', ages) AS p50_ms,
    arrayReduce('quantileExact(0.9)', ages) AS p90_ms,
    arrayCount(x -> (x < 100), ages) / cancels AS share_100ms,
    arrayCount(x -> (x < 500), ages) / cancels AS share_500ms,
    arrayCount(x -> (x < 1000), ages) / cancels AS share_1s
FROM
(
    SELECT
        user_id,
        venue,
        symbol,
        second,
        mapValues(maxMap(lifetime_ms)) AS ages
    FROM order_flow_1s
    GROUP BY
        user_id,
        venue,
        symbol,
        second
)
WHERE notEmpty(ages);
