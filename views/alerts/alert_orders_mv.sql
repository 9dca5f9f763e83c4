-- Compares what order_findings_mv has found with what is usual: a rule holds in a second where
-- value >= greatest(min_value, own_factor * the account's usual, peer_factor * its peers' usual).
-- order_velocity and order_to_trade say "far more than usual" and nothing else, so they hold only where something is
-- usual: a node that has watched a book for less than three minutes has nothing to compare with and does not guess.
-- Grain: one signal a (rule, user_id, venue, symbol, second) in which it holds; alerts_fired_mv makes alerts of them.
-- Parameters (alert_rules; scope 'venue:symbol', then 'tier:<tier>', then '*'): enabled, min_value, own_factor, peer_factor;
-- and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv); order_findings_mv names those of single rules.
-- Cost: the findings.
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
    toJSONString(map('own_usual', toString(round(own_usual, 3)), 'peers_usual', toString(round(peers_usual, 3)), 'user_tier', toString(user_tier), 'placed_1m', toString(w_placed), 'cancelled_1m', toString(w_cancelled), 'cancelled_100ms_1m', toString(w_cancelled_100ms), 'filled_1m', toString(w_filled), 'bids_pulled_10s', toString(round(t_bids_pulled, 2)), 'asks_pulled_10s', toString(round(t_asks_pulled, 2)), 'bought_10s', toString(round(t_bought, 2)), 'sold_10s', toString(round(t_sold, 2)), 'ids', toString(ids))) AS evidence
FROM
(
    SELECT
        *,
        [own.1, own.2, own.3, own.4, own.5][usual] AS own_usual,
        [peers.1, peers.2, peers.3, peers.4, peers.5][usual] AS peers_usual,
        greatest(levels[2], ([own.1, own.2, own.3, own.4, own.5][usual]) * (levels[3]), ([peers.1, peers.2, peers.3, peers.4, peers.5][usual]) * (levels[4])) AS threshold
    FROM
    (
        SELECT
            *,
            concat(venue, ':', symbol) AS pair,
            dictGetOrDefault('order_usual', ('messages', 'cancelled_100ms', 'filled', 'faded_share', 'orders_per_trade'), (user_id, toString(venue), toString(symbol)), (0., 0., 0., 0., 0.)) AS own,
            dictGetOrDefault('peer_usual', ('messages', 'cancelled_100ms', 'filled', 'faded_share', 'orders_per_trade'), (toString(venue), toString(symbol), toString(user_tier)), (0., 0., 0., 0., 0.)) AS peers,
            arrayMap(p -> dictGetOrDefault('alert_thresholds', 'value', (rule, concat(venue, ':', symbol), p), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), p), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', p), 0.))), ['enabled', 'min_value', 'own_factor', 'peer_factor']) AS levels
        FROM order_findings
    )
)
WHERE ((levels[1]) > 0) AND (value >= threshold) AND ((rule NOT IN ('order_velocity', 'order_to_trade')) OR (own.1 > 0) OR (peers.1 > 0));
