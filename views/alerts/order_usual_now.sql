-- Source of the dictionary order_usual. Grain: one row a (user_id, venue, symbol) that was active in the half hour.
-- Orders per trade is a ratio of sums over what lies before the five minutes that its rule judges; the ratio that peers are
-- compared by (lately_...) overlaps them, so that one is known before seven minutes have passed.
-- The oldest minute is left out: where the watch began in the middle of it, it is not what is usual in a minute.
-- The clock is the stream's own: the latest minute seen. Cost: half an hour of order_baseline_1m.
CREATE VIEW IF NOT EXISTS order_usual_now AS
SELECT
    user_id,
    venue,
    symbol,
    any(tier) AS user_tier,
    medianIf(busiest_messages, is_usual) AS messages,
    medianIf(busiest_cancelled_100ms, is_usual) AS cancelled_100ms,
    medianIf(busiest_filled, is_usual) AS filled,
    medianIf(busiest_faded_share, is_usual) AS faded_share,
    quantileIf(0.95)(busiest_messages, is_usual) AS high_messages,
    quantileIf(0.95)(busiest_cancelled_100ms, is_usual) AS high_cancelled_100ms,
    quantileIf(0.95)(busiest_filled, is_usual) AS high_filled,
    quantileIf(0.95)(busiest_faded_share, is_usual) AS high_faded_share,
    sumIf(busiest_placed, is_before_five) / (sumIf(busiest_filled, is_before_five) + 1) AS orders_per_trade,
    sumIf(busiest_placed, is_usual) / (sumIf(busiest_filled, is_usual) + 1) AS lately_orders_per_trade
FROM
(
    SELECT
        user_id,
        venue,
        symbol,
        minute,
        (SELECT min(minute) FROM order_baseline_1m WHERE minute > ((SELECT max(minute) FROM order_baseline_1m) - 1920)) AS oldest,
        (minute > oldest) AND (minute < ((SELECT max(minute) FROM order_baseline_1m) - 60)) AS is_usual,
        (minute > oldest) AND (minute < ((SELECT max(minute) FROM order_baseline_1m) - 300)) AS is_before_five,
        max(order_baseline_1m.user_tier) AS tier,
        max(order_baseline_1m.messages) AS busiest_messages,
        max(order_baseline_1m.cancelled_100ms) AS busiest_cancelled_100ms,
        max(order_baseline_1m.filled) AS busiest_filled,
        max(order_baseline_1m.placed) AS busiest_placed,
        max(order_baseline_1m.faded_share) AS busiest_faded_share
    FROM order_baseline_1m
    WHERE minute > ((SELECT max(minute) FROM order_baseline_1m) - 1920)
    GROUP BY
        user_id,
        venue,
        symbol,
        minute
)
GROUP BY
    user_id,
    venue,
    symbol
HAVING countIf(is_usual) > 0;
