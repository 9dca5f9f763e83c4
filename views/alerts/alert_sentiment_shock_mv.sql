-- Rule sentiment_shock: what is said of an asset has turned, against what was said of it before.
-- The weighted mean of the last window_m minutes is compared with that of the baseline_m minutes before: they must lie
-- min_shift apart and z standard errors (spread of the baseline's posts over the root of the window's posts). Only posts
-- that the model itself rated count, each model against itself: a budget that ends must not look like a change of mood.
-- Grain: one signal a (symbol, minute) in which it holds; alerts_fired_mv makes alerts of them.
-- Parameters (alert_rules; scope 'social:<symbol>' or '*'): enabled, window_m, baseline_m (global only), min_posts,
-- min_baseline_posts, min_shift, z; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: baseline_m minutes of dash_sentiment of the symbols in the block.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_sentiment_shock_mv TO alert_signals AS
WITH
    moments AS
    (
        SELECT DISTINCT
            symbol,
            minute AS moment,
            concat('social:', symbol) AS entity,
            dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'enabled'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'enabled'))) AS enabled,
            toUInt32(60 * dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'window_m'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'window_m')))) AS window_s,
            toUInt32(60 * dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'baseline_m'))) AS baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'min_posts'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'min_posts'))) AS min_posts,
            dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'min_baseline_posts'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'min_baseline_posts'))) AS min_baseline_posts,
            dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'min_shift'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'min_shift'))) AS min_shift,
            dictGetOrDefault('alert_thresholds', 'value', ('sentiment_shock', entity, 'z'), dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'z'))) AS z,
            dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'max_age_s')) AS max_age_s
        FROM social_1m
        WHERE (symbol != '') AND (enabled > 0) AND (moment > (now() - toUInt32(max_age_s))) AND (moment <= now())
    ),
    compared AS
    (
        SELECT
            symbol,
            model,
            moment,
            entity,
            min_posts,
            min_baseline_posts,
            min_shift,
            z,
            sumIf(rated_posts, is_now) AS posts_now,
            sumIf(rated_posts, NOT is_now) AS posts_before,
            sumIf(score_sum, is_now) / sumIf(weight_sum, is_now) AS mean_now,
            sumIf(score_sum, NOT is_now) / sumIf(weight_sum, NOT is_now) AS mean_before,
            sqrt(greatest(0, (sumIf(square_sum, NOT is_now) / sumIf(weight_sum, NOT is_now)) - (mean_before * mean_before))) AS spread,
            greatest(spread, 0.1) / sqrt(posts_now) AS standard_error
        FROM
        (
            SELECT
                moments.*,
                model,
                history.minute > (moment - window_s) AS is_now,
                rated_posts,
                weight_sum,
                score_sum,
                square_sum
            FROM moments
            INNER JOIN
            (
                SELECT
                    symbol,
                    model,
                    minute,
                    rated_posts,
                    weight_sum,
                    score_sum,
                    square_sum
                FROM dash_sentiment
                WHERE (symbol IN (SELECT symbol FROM social_1m)) AND (minute > ((SELECT min(minute) FROM social_1m) - toUInt32(7200 + (60 * dictGet('alert_thresholds', 'value', ('sentiment_shock', '*', 'baseline_m'))))))
            ) AS history USING (symbol)
            WHERE (history.minute <= moment) AND (history.minute > ((moment - window_s) - baseline_s))
        )
        GROUP BY
            symbol,
            model,
            moment,
            entity,
            min_posts,
            min_baseline_posts,
            min_shift,
            z
    )
SELECT
    'sentiment_shock' AS rule,
    'warning' AS severity,
    entity,
    'social' AS venue,
    symbol,
    0 AS user_id,
    moment AS second,
    mean_now AS value,
    mean_before AS baseline,
    mean_before + (if(mean_now < mean_before, -1, 1) * greatest(min_shift, z * standard_error)) AS threshold,
    concat(symbol, ': sentiment ', if(mean_now < mean_before, 'fell to ', 'rose to '), toString(round(mean_now, 2)), ', usually ', toString(round(mean_before, 2)), ' (', toString(posts_now), ' posts)') AS summary,
    toJSONString(map('model', model, 'posts', toString(posts_now), 'baseline_posts', toString(posts_before), 'standard_error', toString(round(standard_error, 4)), 'shift', toString(round(mean_now - mean_before, 4)))) AS evidence
FROM compared
WHERE (posts_now >= min_posts) AND (posts_before >= min_baseline_posts) AND (abs(mean_now - mean_before) >= greatest(min_shift, z * standard_error));
