-- Compares what order_findings_mv has found with what is usual: a rule holds in a second where
-- value >= greatest(min_value, own_factor * the account's usual, peer_factor * its peers' usual).
-- Where the market moves, everybody sends more: of the rules that count messages, cancels or trades, what is usual is
-- multiplied by the pace of the book (pace_factor times it, never less than once): the median over its accounts of what each
-- sends now, in the busiest rolling minute that ended in this or the last minute, over its own usual; of accounts that
-- usually send ten or more a minute, and only where there are five of them.
-- order_to_trade asks besides that so few trades are no chance: z standard deviations (Poisson) fewer than the orders of the
-- five minutes usually bring.
-- order_velocity and order_to_trade say "far more than usual" and nothing else, so they hold only where something is
-- usual: a node that has watched a book for less than three minutes has nothing to compare with and does not guess.
-- Grain: one signal a (rule, user_id, venue, symbol, second) in which it holds; alerts_fired_mv makes alerts of them.
-- Parameters (alert_rules; scope 'venue:symbol', then 'tier:<tier>', then '*'): enabled, min_value, own_factor, peer_factor,
-- pace_factor, z; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv); order_findings_mv names those of
-- single rules. Cost: the findings, and of order_baseline_1m the minutes of their books.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_orders_mv TO alert_signals AS
SELECT
    rule,
    severity,
    concat('user:', toString(user_id), '@', pair) AS entity,
    venue,
    symbol,
    user_id,
    second,
    value,
    greatest(own_usual, peers_usual) AS baseline,
    threshold,
    concat('user:', toString(user_id), '@', pair, ': ', toString(round(value, 2)), ' ', what, if((own_usual > 0) OR (peers_usual > 0), concat(', usually ', toString(round(greatest(own_usual, peers_usual), 2))), '')) AS summary,
    toJSONString(map('own_usual', toString(round(own_usual, 3)), 'peers_usual', toString(round(peers_usual, 3)), 'market_pace', toString(round(pace, 2)), 'user_tier', toString(user_tier), 'placed_1m', toString(w_placed), 'cancelled_1m', toString(w_cancelled), 'cancelled_100ms_1m', toString(w_cancelled_100ms), 'filled_1m', toString(w_filled), 'placed_5m', toString(f_placed), 'filled_5m', toString(f_filled), 'bids_pulled_10s', toString(round(t_bids_pulled, 2)), 'asks_pulled_10s', toString(round(t_asks_pulled, 2)), 'bought_10s', toString(round(t_bought, 2)), 'sold_10s', toString(round(t_sold, 2)), 'ids', toString(ids))) AS evidence
FROM
(
    SELECT
        *,
        greatest(levels[2], own_usual * (levels[3]) * greatest(1, pace * (levels[5])), peers_usual * (levels[4]) * greatest(1, pace * (levels[5]))) AS threshold
    FROM
    (
        SELECT
            *,
            [own.1, own.2, own.3, own.4, own.5][usual] AS own_usual,
            [peers.1, peers.2, peers.3, peers.4, peers.5][usual] AS peers_usual
        FROM
        (
            SELECT
                order_findings.*,
                market.pace AS pace,
                concat(order_findings.venue, ':', order_findings.symbol) AS pair,
                dictGetOrDefault('order_usual', ('messages', 'cancelled_100ms', 'filled', 'faded_share', 'orders_per_trade'), (user_id, toString(order_findings.venue), toString(order_findings.symbol)), (0., 0., 0., 0., 0.)) AS own,
                dictGetOrDefault('peer_usual', ('messages', 'cancelled_100ms', 'filled', 'faded_share', 'orders_per_trade'), (toString(order_findings.venue), toString(order_findings.symbol), toString(user_tier)), (0., 0., 0., 0., 0.)) AS peers,
                arrayMap(p -> dictGetOrDefault('alert_thresholds', 'value', (rule, pair, p), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), p), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', p), 0.))), ['enabled', 'min_value', 'own_factor', 'peer_factor', 'pace_factor', 'z']) AS levels
            FROM order_findings
            LEFT JOIN
            (
                SELECT
                    venue,
                    symbol,
                    judged,
                    median(times_usual) AS pace
                FROM
                (
                    SELECT
                        venue,
                        symbol,
                        user_id,
                        minute + later AS judged,
                        dictGetOrDefault('order_usual', 'messages', (user_id, toString(venue), toString(symbol)), 0.) AS usually,
                        max(messages) / usually AS times_usual
                    FROM order_baseline_1m
                    ARRAY JOIN [0, 60] AS later
                    WHERE (venue, symbol, minute) IN (
                        SELECT
                            venue,
                            symbol,
                            toStartOfMinute(second) - arrayJoin([0, 60])
                        FROM order_findings
                        WHERE usual IN (1, 2, 3)
                    )
                    GROUP BY
                        venue,
                        symbol,
                        user_id,
                        judged
                    HAVING usually >= 10
                )
                GROUP BY
                    venue,
                    symbol,
                    judged
                HAVING count() >= 5
            ) AS market ON (market.venue = order_findings.venue) AND (market.symbol = order_findings.symbol) AND (market.judged = toStartOfMinute(order_findings.second))
        )
    )
)
WHERE ((levels[1]) > 0) AND (value >= threshold) AND ((rule NOT IN ('order_velocity', 'order_to_trade')) OR (own.1 > 0) OR (peers.1 > 0))
    AND ((rule != 'order_to_trade') OR (baseline = 0) OR ((f_placed / baseline) >= (f_filled + ((levels[6]) * sqrt(f_placed / baseline)))));
