-- What the rating of posts cost, and how much of it the budget left out, per hour.
-- Grain: one row a (hour, source, model). Read by: the Social dashboard, whoever sets the daily cap.
CREATE VIEW IF NOT EXISTS dash_social_spend AS
SELECT
    toStartOfHour(processed_time) AS hour,
    source,
    model,
    uniq(event_id) AS posts,
    uniqIf(event_id, sampled_weight = 0) AS sampled_out_posts,
    sum(post_tokens) AS tokens,
    sum(post_cost) AS cost_usd
FROM
(
    SELECT
        event_id,
        source,
        model,
        max(processed_time) AS processed_time,
        argMax(sampled_weight, social_buzz.processed_time) AS sampled_weight,
        max(tokens_count) AS post_tokens,
        max(cost_usd) AS post_cost
    FROM social_buzz
    GROUP BY
        event_id,
        source,
        model
)
GROUP BY
    hour,
    source,
    model;
