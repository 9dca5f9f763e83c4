-- Rule liquidity_drop: one side of a book lost most of the depth that usually rests within N bps of the mid, for
-- several seconds in a row. Top-N volume would page without pause, even in a quiet market; a band, a median and
-- persistence do not.
-- Grain: one signal a (venue, symbol, second) in which it holds; alerts_fired_mv asks for several in a row.
-- Baseline: median depth of the side in the baseline_s seconds before the last persist_s, so that a drop which lasts becomes
-- the new normal and ends.
-- Parameters (alert_rules; scope 'venue:symbol', then '*'): enabled, band_bps, drop_share, baseline_s, min_baseline_s; and
-- persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: baseline_s seconds of the touched books, once a second.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_liquidity_drop_mv TO alert_signals AS
WITH
    touched AS
    (
        SELECT DISTINCT
            venue,
            symbol,
            second,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'enabled'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'enabled'))) AS enabled,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'band_bps'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'band_bps'))) AS band_bps,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'drop_share'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'drop_share'))) AS drop_share,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'baseline_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'baseline_s'))) AS baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'min_baseline_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'min_baseline_s'))) AS min_baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'persist_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'persist_s'))) AS persist_s
        FROM liquidity_moments
        WHERE enabled > 0
    )
SELECT
    'liquidity_drop' AS rule,
    'critical' AS severity,
    concat(venue, ':', symbol) AS entity,
    venue,
    symbol,
    0 AS user_id,
    second,
    worse.1 AS value,
    worse.2 AS baseline,
    worse.2 * (1 - drop_share) AS threshold,
    concat(entity, ': depth pulled, ', worse.3, ' within ', toString(band_bps), ' bps ', toString(round(worse.1, 4)), ', usually ', toString(round(worse.2, 4))) AS summary,
    toJSONString(map('band_bps', band_bps, 'bid_depth', depths[1], 'ask_depth', depths[2], 'usual_bid_depth', usual_bid, 'usual_ask_depth', usual_ask, 'baseline_seconds', toFloat64(calm_seconds))) AS evidence
FROM
(
    SELECT
        venue,
        symbol,
        second,
        any(band_bps) AS band_bps,
        any(drop_share) AS drop_share,
        any(min_baseline_s) AS min_baseline_s,
        anyIf([bid_depth, ask_depth], past_second = second) AS depths,
        countIf(past_second <= (second - persist_s)) AS calm_seconds,
        medianIf(bid_depth, past_second <= (second - persist_s)) AS usual_bid,
        medianIf(ask_depth, past_second <= (second - persist_s)) AS usual_ask,
        if((depths[1] * usual_ask) <= (depths[2] * usual_bid), (depths[1], usual_bid, 'bids'), (depths[2], usual_ask, 'asks')) AS worse
    FROM touched
    INNER JOIN
    (
        SELECT
            venue,
            symbol,
            second AS past_second,
            toUInt16(dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', concat(venue, ':', symbol), 'band_bps'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'band_bps')))) AS band,
            bids_within[band] AS bid_depth,
            asks_within[band] AS ask_depth
        FROM dash_liquidity
        WHERE mapContains(bids_within, band) AND ((venue, symbol) IN (SELECT venue, symbol FROM touched))
            AND (second > (SELECT min(second - toUInt32(persist_s + baseline_s)) FROM touched)) AND (second <= (SELECT max(second) FROM touched))
    ) AS past USING (venue, symbol)
    WHERE (past_second <= second) AND (past_second > (second - toUInt32(persist_s + baseline_s)))
    GROUP BY
        venue,
        symbol,
        second
    HAVING notEmpty(depths) AND (calm_seconds >= min_baseline_s)
)
WHERE worse.1 <= (worse.2 * (1 - drop_share));
