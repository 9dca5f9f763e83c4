-- Rule liquidity_drop: one side of a book lost most of the depth that usually rests within N bps of the mid, for
-- several seconds in a row. Top-N volume would page without pause, even in a quiet market; a band, a median and
-- persistence do not.
-- Grain: one row when a situation begins (firing) and one when it has ended (resolved), per (venue, symbol).
-- A second is bad when a side stayed below (1 - drop_share) of its usual depth for persist_s seconds up to it, good when
-- both sides stayed above (1 - recover_share) for resolve_s seconds; usual is the median over the baseline_s seconds
-- before, so that a drop which lasts becomes the new normal and resolves. The first bad second after good ones fires,
-- the first good one after bad ones resolves, however many seconds a block brings.
-- Parameters (alert_rules): enabled, band_bps, drop_share, recover_share, baseline_s (global only), min_baseline_s,
-- persist_s, resolve_s, max_age_s.
-- Cost: baseline_s seconds of each book and second in the block, and a day of its alerts, once a second.
-- The block (liquidity_moments) stands leftmost in every FROM, for the leftmost table is what triggers the view.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_liquidity_drop_mv TO alerts AS
WITH
    -- The seconds in the block that no known situation covers yet, with the thresholds in force.
    moments AS
    (
        SELECT
            entity,
            venue,
            symbol,
            moment,
            known_id,
            known_start,
            known_end < known_start AS was_open,
            dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'baseline_s')) AS baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'enabled'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'enabled'))) AS enabled,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'band_bps'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'band_bps'))) AS band_bps,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'drop_share'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'drop_share'))) AS drop_share,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'recover_share'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'recover_share'))) AS recover_share,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'min_baseline_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'min_baseline_s'))) AS min_baseline_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'persist_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'persist_s'))) AS persist_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'resolve_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'resolve_s'))) AS resolve_s,
            dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', entity, 'max_age_s'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'max_age_s'))) AS max_age_s
        FROM
        (
            SELECT DISTINCT
                concat(venue, ':', symbol) AS entity,
                venue,
                symbol,
                second AS moment
            FROM liquidity_moments
        ) AS block
        LEFT JOIN
        (
            SELECT
                entity,
                argMax(alert_id, started_time) AS known_id,
                toDateTime(max(started_time), 'UTC') AS known_start,
                toDateTime(maxIf(event_time, status = 'resolved'), 'UTC') AS known_end
            FROM alerts
            WHERE (rule = 'liquidity_drop') AND (started_time > (now() - INTERVAL 1 DAY))
            GROUP BY entity
        ) AS known USING (entity)
        WHERE (enabled > 0) AND (moment > (now() - toUInt32(max_age_s))) AND (moment > greatest(known_start, known_end))
    ),
    -- Depth at each moment: usual, over the last seconds, now. Joined by minute: a long block does not meet all of itself.
    depths AS
    (
        SELECT
            entity,
            moment,
            any(venue) AS venue,
            any(symbol) AS symbol,
            any(known_id) AS known_id,
            any(known_start) AS known_start,
            any(was_open) AS was_open,
            any(band_bps) AS band_bps,
            any(drop_share) AS drop_share,
            any(recover_share) AS recover_share,
            any(min_baseline_s) AS min_baseline_s,
            any(persist_s) AS persist_s,
            any(resolve_s) AS resolve_s,
            countIf(second <= (moment - toUInt32(pairs.persist_s))) AS calm_seconds,
            medianIf(bid_depth, second <= (moment - toUInt32(pairs.persist_s))) AS usual_bid,
            medianIf(ask_depth, second <= (moment - toUInt32(pairs.persist_s))) AS usual_ask,
            countIf(second > (moment - toUInt32(pairs.persist_s))) AS last_seconds,
            maxIf(bid_depth, second > (moment - toUInt32(pairs.persist_s))) AS most_bid,
            maxIf(ask_depth, second > (moment - toUInt32(pairs.persist_s))) AS most_ask,
            countIf(second > (moment - toUInt32(pairs.resolve_s))) AS settling_seconds,
            minIf(bid_depth, second > (moment - toUInt32(pairs.resolve_s))) AS least_bid,
            minIf(ask_depth, second > (moment - toUInt32(pairs.resolve_s))) AS least_ask,
            argMax(bid_depth, second) AS bid_depth_now,
            argMax(ask_depth, second) AS ask_depth_now
        FROM
        (
            SELECT
                moments.*,
                history.second AS second,
                history.bid_depth AS bid_depth,
                history.ask_depth AS ask_depth
            FROM
            (
                SELECT
                    *,
                    arrayJoin(range(intDiv(toUnixTimestamp(moment - toUInt32(persist_s + baseline_s)), 60), intDiv(toUnixTimestamp(moment), 60) + 1)) AS minute
                FROM moments
            ) AS moments
            INNER JOIN
            (
                SELECT
                    concat(venue, ':', symbol) AS book,
                    intDiv(toUnixTimestamp(second), 60) AS minute,
                    second,
                    toUInt16(dictGetOrDefault('alert_thresholds', 'value', ('liquidity_drop', book, 'band_bps'), dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'band_bps')))) AS band,
                    bids_within[band] AS bid_depth,
                    asks_within[band] AS ask_depth
                FROM dash_liquidity
                WHERE mapContains(bids_within, band) AND ((venue, symbol) IN (
                    SELECT
                        venue,
                        symbol
                    FROM liquidity_moments
                ))
                    AND (second > ((SELECT min(second) FROM liquidity_moments) - toUInt32(dictGet('alert_thresholds', 'value', ('liquidity_drop', '*', 'baseline_s')) + 60)))
            ) AS history ON (history.book = moments.entity) AND (history.minute = moments.minute)
            WHERE (second <= moment) AND (second > ((moment - toUInt32(persist_s)) - toUInt32(baseline_s)))
        ) AS pairs
        GROUP BY
            entity,
            moment
    ),
    -- Bad and good moments, each with the one before it; what lies between says nothing.
    signals AS
    (
        SELECT
            *,
            (bid_depth_now * usual_ask) <= (ask_depth_now * usual_bid) AS is_bid,
            (last_seconds >= persist_s) AND ((most_bid <= (usual_bid * (1 - drop_share))) OR (most_ask <= (usual_ask * (1 - drop_share)))) AS is_bad,
            (moment - toUInt32(persist_s)) + 1 AS run_start,
            lagInFrame(is_bad, 1, was_open) OVER (PARTITION BY entity ORDER BY moment ASC) AS was_bad
        FROM depths
        WHERE (calm_seconds >= min_baseline_s) AND (is_bad OR ((settling_seconds >= resolve_s) AND (least_bid > (usual_bid * (1 - recover_share))) AND (least_ask > (usual_ask * (1 - recover_share)))))
    ),
    -- Changes from one to the other; an end belongs to the beginning before it.
    changes AS
    (
        SELECT
            *,
            if(is_bad, run_start, lagInFrame(run_start, 1, known_start) OVER (PARTITION BY entity ORDER BY moment ASC)) AS begun
        FROM signals
        WHERE is_bad != was_bad
    )
SELECT
    if((NOT is_bad) AND (begun = known_start), known_id, lower(hex(sipHash128('liquidity_drop', entity, toUnixTimestamp(begun))))) AS alert_id,
    'liquidity_drop' AS rule,
    'critical' AS severity,
    if(is_bad, 'firing', 'resolved') AS status,
    entity,
    venue,
    symbol,
    toDateTime64(begun, 3, 'UTC') AS started_time,
    toDateTime64(moment, 3, 'UTC') AS event_time,
    if(is_bid, bid_depth_now, ask_depth_now) AS value,
    if(is_bid, usual_bid, usual_ask) AS baseline,
    if(is_bid, usual_bid, usual_ask) * (1 - drop_share) AS threshold,
    concat(entity, if(is_bad, ': depth pulled, ', ': depth is back, '), if(is_bid, 'bids', 'asks'), ' within ', toString(band_bps), ' bps ', toString(round(if(is_bid, bid_depth_now, ask_depth_now), 4)), ', usually ', toString(round(if(is_bid, usual_bid, usual_ask), 4))) AS summary,
    toJSONString(map('band_bps', band_bps, 'bid_depth', bid_depth_now, 'ask_depth', ask_depth_now, 'usual_bid_depth', usual_bid, 'usual_ask_depth', usual_ask, 'baseline_seconds', toFloat64(calm_seconds))) AS evidence
FROM changes;
