-- Rule spread_blowout: for a whole second even the narrowest spread of a book is many times its usual one.
-- Grain: one signal a (venue, symbol, second) in which it holds; alerts_fired_mv asks for several in a row.
-- Baseline: median of the narrowest spreads of the baseline_s seconds before the last persist_s.
-- Parameters (alert_rules; scope 'venue:symbol', then '*'): enabled, min_value (bps), own_factor, baseline_s,
-- min_baseline_s; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: baseline_s seconds of the touched books.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_spread_blowout_mv TO alert_signals AS
WITH
    touched AS
    (
        SELECT
            venue,
            symbol,
            second,
            min(spread_bps_min) AS narrowest,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'enabled'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'enabled'))) AS enabled,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'min_value'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'min_value'))) AS min_value,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'own_factor'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'own_factor'))) AS own_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'baseline_s'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'baseline_s'))) AS baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'min_baseline_s'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'min_baseline_s'))) AS min_baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('spread_blowout', concat(venue, ':', symbol), 'persist_s'), dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'persist_s'))) AS persist_s
        FROM liquidity_1s
        GROUP BY
            venue,
            symbol,
            second
        HAVING (enabled > 0) AND (narrowest >= min_value)
    )
SELECT
    'spread_blowout' AS rule,
    'critical' AS severity,
    concat(venue, ':', symbol) AS entity,
    venue,
    symbol,
    0 AS user_id,
    second,
    least(any(narrowest), minIf(min_spread_bps, past_second = second)) AS value,
    medianIf(min_spread_bps, past_second < (second - persist_s)) AS baseline,
    greatest(any(min_value), any(own_factor) * baseline) AS threshold,
    concat(entity, ': spread ', toString(round(value, 2)), ' bps, usually ', toString(round(baseline, 2))) AS summary,
    toJSONString(map('spread_bps', value, 'usual_spread_bps', baseline, 'baseline_seconds', toFloat64(countIf(past_second < (second - persist_s))))) AS evidence
FROM touched
INNER JOIN
(
    SELECT
        venue,
        symbol,
        second AS past_second,
        min_spread_bps
    FROM dash_liquidity
    WHERE ((venue, symbol) IN (SELECT venue, symbol FROM touched))
        AND (second >= (SELECT min(second - toUInt32(baseline_s)) FROM touched)) AND (second <= (SELECT max(second) FROM touched))
) AS past USING (venue, symbol)
WHERE (past_second <= second) AND (past_second >= (second - toUInt32(baseline_s)))
GROUP BY
    venue,
    symbol,
    second
HAVING (countIf(past_second < (second - persist_s)) >= any(min_baseline_s)) AND (value >= threshold);
