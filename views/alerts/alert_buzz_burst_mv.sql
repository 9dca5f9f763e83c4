-- Rule buzz_burst: far more is said of an asset than usual, by many.
-- The mentions of the last window_m minutes are compared with the usual number in as many minutes of the baseline_m
-- before (silent minutes count as zero): factor times as many, and z Poisson standard deviations above it.
-- Grain: one signal a (symbol, minute) in which it holds; alerts_fired_mv makes alerts of them.
-- Parameters (alert_rules; scope 'social:<symbol>' or '*'): enabled, window_m, baseline_m (global only), min_baseline_m,
-- min_posts, min_authors, factor, z; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: baseline_m minutes of dash_sentiment of the symbols in the block. An author counts once in a window and source:
-- authors are hashed with their source.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_buzz_burst_mv TO alert_signals AS
WITH
    moments AS
    (
        SELECT DISTINCT
            symbol,
            minute AS moment,
            concat('social:', symbol) AS entity,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'enabled'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'enabled'))) AS enabled,
            toUInt32(60 * dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'window_m'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'window_m')))) AS window_s,
            toUInt32(60 * dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'baseline_m'))) AS baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'min_baseline_m'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'min_baseline_m'))) AS min_baseline_m,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'min_posts'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'min_posts'))) AS min_posts,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'min_authors'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'min_authors'))) AS min_authors,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'factor'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'factor'))) AS factor,
            dictGetOrDefault('alert_thresholds', 'value', ('buzz_burst', entity, 'z'), dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'z'))) AS z,
            dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'max_age_s')) AS max_age_s
        FROM social_1m
        WHERE (symbol != '') AND (enabled > 0) AND (moment > (now() - toUInt32(max_age_s))) AND (moment <= now())
    ),
    compared AS
    (
        SELECT
            symbol,
            moment,
            entity,
            min_baseline_m,
            min_posts,
            min_authors,
            factor,
            z,
            sumIf(mentions, is_now) AS posts_now,
            uniqExactArrayIf(authors, is_now) AS authors_now,
            ((moment - window_s) - min(minute)) / 60 AS baseline_m,
            (sumIf(mentions, NOT is_now) / greatest(baseline_m, 1)) * (window_s / 60) AS usual
        FROM
        (
            SELECT
                moments.*,
                history.minute AS minute,
                history.minute > (moment - window_s) AS is_now,
                mentions,
                authors
            FROM moments
            INNER JOIN
            (
                SELECT
                    symbol,
                    minute,
                    mentions,
                    authors
                FROM dash_sentiment
                WHERE (symbol IN (SELECT symbol FROM social_1m)) AND (minute > ((SELECT min(minute) FROM social_1m) - toUInt32(7200 + (60 * dictGet('alert_thresholds', 'value', ('buzz_burst', '*', 'baseline_m'))))))
            ) AS history USING (symbol)
            WHERE (history.minute <= moment) AND (history.minute > ((moment - window_s) - baseline_s))
        )
        GROUP BY
            symbol,
            moment,
            entity,
            window_s,
            min_baseline_m,
            min_posts,
            min_authors,
            factor,
            z
    )
SELECT
    'buzz_burst' AS rule,
    'info' AS severity,
    entity,
    'social' AS venue,
    symbol,
    0 AS user_id,
    moment AS second,
    toFloat64(posts_now) AS value,
    usual AS baseline,
    greatest(min_posts, factor * usual, usual + (z * sqrt(usual))) AS threshold,
    concat(symbol, ': ', toString(posts_now), ' mentions, usually ', toString(round(usual, 1))) AS summary,
    toJSONString(map('authors', toString(authors_now), 'baseline_minutes', toString(round(baseline_m)))) AS evidence
FROM compared
WHERE (baseline_m >= min_baseline_m) AND (authors_now >= min_authors) AND (posts_now >= greatest(min_posts, factor * usual, usual + (z * sqrt(usual))));
