-- Rule feed_unhealthy: a feed says that its book is stale or crossed, or sends a crossed book itself; or it loses its place
-- (sequence, checksum, disconnect) more than max_gaps times within persist_s.
-- Grain: one signal a (venue, symbol, second) in which it holds; alerts_fired_mv makes alerts of them. Gaps that a feed
-- mends by itself are signals of the rule feed_gaps, which asks for several.
-- Parameters (alert_rules; scope 'venue:symbol', then '*'): enabled; and persist_signals, persist_s, resolve_s, max_age_s
-- of feed_unhealthy and of feed_gaps (alerts_fired_mv). Cost: the inserted rows.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_feed_unhealthy_mv TO alert_signals AS
SELECT
    if(what IN ('stale', 'crossed'), 'feed_unhealthy', 'feed_gaps') AS rule,
    if(rule = 'feed_unhealthy', 'critical', 'warning') AS severity,
    concat(venue, ':', symbol) AS entity,
    venue,
    symbol,
    0 AS user_id,
    toDateTime(event_time, 'UTC') AS second,
    toFloat64(count()) AS value,
    0 AS baseline,
    1 AS threshold,
    concat(entity, if(rule = 'feed_unhealthy', ': the book is ', ': the feed lost its place: '), any(what)) AS summary,
    toJSONString(map('reasons', toString(groupUniqArray(what)), 'last_seq', toString(max(last_seq)), 'expected_seq', toString(max(ifNull(expected_seq, 0))), 'received_seq', toString(max(ifNull(received_seq, 0))))) AS evidence
FROM
(
    SELECT
        venue,
        symbol,
        event_time,
        last_seq,
        expected_seq,
        received_seq,
        if(update_type = 'gap', ifNull(reason, ''), 'crossed') AS what
    FROM market_l2_landing
    WHERE (reject_reason = '') AND ((update_type = 'gap') OR (notEmpty(bid_ticks) AND notEmpty(ask_ticks) AND (bid_ticks[1] >= ask_ticks[1])))
        AND (dictGetOrDefault('alert_thresholds', 'value', ('feed_unhealthy', concat(venue, ':', symbol), 'enabled'), dictGet('alert_thresholds', 'value', ('feed_unhealthy', '*', 'enabled'))) > 0)
)
GROUP BY
    rule,
    venue,
    symbol,
    second;
