-- Mentions and sentiment per minute as people and rules read them.
-- Grain: one row a (symbol, source, model, minute). Read by: the Social dashboard, the page of the node, the social rules.
-- By model, since a mean over two analysers moves when the budget ends. weighted_sentiment weighs a post by
-- sampled_weight and by the logarithm of its engagement; rated_posts counts the posts that the budget reached. The sums,
-- and the authors' hashes, are there so that longer windows can be built without averaging averages.
CREATE VIEW IF NOT EXISTS dash_sentiment AS
SELECT
    symbol,
    source,
    model,
    minute,
    count() AS mentions,
    countIf(weight > 0) AS rated_posts,
    groupUniqArray(author) AS authors,
    length(authors) AS author_count,
    avg(score) AS mean_sentiment,
    sum(post_weight) AS weight_sum,
    sum(post_weight * score) AS score_sum,
    sum((post_weight * score) * score) AS square_sum,
    if(weight_sum > 0, score_sum / weight_sum, 0) AS weighted_sentiment
FROM
(
    SELECT
        symbol,
        source,
        minute,
        rating.id AS id,
        argMax(rating.model, rating.processed_time) AS model,
        argMax(rating.score, rating.processed_time) AS score,
        argMax(rating.weight, rating.processed_time) AS weight,
        argMax(rating.engagement, rating.processed_time) AS engagement,
        any(rating.author) AS author,
        weight * (1 + log(1 + engagement)) AS post_weight
    FROM
    (
        SELECT
            symbol,
            source,
            minute,
            groupUniqArrayMerge(ratings) AS posts
        FROM social_1m
        GROUP BY
            symbol,
            source,
            minute
    )
    ARRAY JOIN posts AS rating
    GROUP BY
        symbol,
        source,
        minute,
        id
)
GROUP BY
    symbol,
    source,
    model,
    minute;
