-- The rules about what an account does in a book: aggressive_cancels, order_velocity, excessive_executions,
-- order_to_trade, quote_stuffing, price_fade, layering, self_trade. One view, because each view on a busy table costs every
-- insert some milliseconds; a rule is one entry of the list: its name, severity, condition, value, what is usual for the
-- account and for its tier in that book (order_usual, peer_usual), what the value counts, and the ids behind it.
-- A rule holds in a second where its condition does and value >= greatest(min_value, own_factor * the account's usual,
-- peer_factor * its peers' usual). The cheap absolute line min_value stands first: hardly an account gets past it.
-- Grain: one signal a (rule, user_id, venue, symbol, second) in which it holds; alerts_fired_mv makes alerts of them.
-- Parameters (alert_rules; scope 'venue:symbol', then 'tier:<tier>', then '*'): enabled, min_value, own_factor, peer_factor;
-- of single rules, '*' only: order_to_trade min_orders; price_fade min_cancels, fade_ms; quote_stuffing burst_messages;
-- layering min_levels, min_notional, side_factor, fill_factor; and persist_signals, persist_s, resolve_s, max_age_s
-- (alerts_fired_mv). Cost: the inserted rows.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_orders_mv TO alert_signals AS
WITH
    (user_id, toString(venue), toString(symbol)) AS account,
    (toString(venue), toString(symbol), toString(user_tier)) AS peers
SELECT
    rule,
    severity,
    concat('user:', toString(user_id), '@', venue, ':', symbol) AS entity,
    venue,
    symbol,
    user_id,
    second,
    value,
    greatest(own_usual, peers_usual) AS baseline,
    greatest(dictGetOrDefault('alert_thresholds', 'value', (rule, concat(venue, ':', symbol), 'min_value'), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), 'min_value'), dictGet('alert_thresholds', 'value', (rule, '*', 'min_value')))), own_usual * dictGetOrDefault('alert_thresholds', 'value', (rule, concat(venue, ':', symbol), 'own_factor'), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), 'own_factor'), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'own_factor'), toFloat64(0)))), peers_usual * dictGetOrDefault('alert_thresholds', 'value', (rule, concat(venue, ':', symbol), 'peer_factor'), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), 'peer_factor'), dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'peer_factor'), toFloat64(0))))) AS threshold,
    concat(entity, ': ', toString(round(value, 2)), ' ', what, if(baseline > 0, concat(', usually ', toString(round(baseline, 2))), '')) AS summary,
    toJSONString(map('own_usual', toString(round(own_usual, 3)), 'peers_usual', toString(round(peers_usual, 3)), 'user_tier', toString(user_tier), 'placed_1m', toString(w_placed), 'cancelled_1m', toString(w_cancelled), 'cancelled_100ms_1m', toString(w_cancelled_100ms), 'filled_1m', toString(w_filled), 'bids_pulled_10s', toString(round(t_bids_pulled, 2)), 'asks_pulled_10s', toString(round(t_asks_pulled, 2)), 'bought_10s', toString(round(t_bought, 2)), 'sold_10s', toString(round(t_sold, 2)), 'ids', toString(ids))) AS evidence
FROM
(
    SELECT
        *,
        found.1 AS rule,
        found.2 AS severity,
        found.4 AS value,
        found.5 AS own_usual,
        found.6 AS peers_usual,
        found.7 AS what,
        found.8 AS ids
    FROM order_watch
    ARRAY JOIN [
        -- aggressive_cancels: most of its orders are cancelled within 100 ms. A cancel rate alone says nothing: market makers cancel 95 %
        ('aggressive_cancels', 'warning', toUInt8((w_cancelled_100ms >= (0.5 * w_cancelled)) AND (w_cancelled >= (0.8 * w_placed))), toFloat64(w_cancelled_100ms), dictGetOrDefault('order_usual', 'cancelled_100ms', account, 0.), dictGetOrDefault('peer_usual', 'cancelled_100ms', peers, 0.), 'cancels within 100 ms in a minute', order_ids),
        -- order_velocity: far more orders and cancels a minute than usual
        ('order_velocity', 'warning', toUInt8(true), toFloat64(w_messages), dictGetOrDefault('order_usual', 'messages', account, 0.), dictGetOrDefault('peer_usual', 'messages', peers, 0.), 'orders and cancels in a minute', order_ids),
        -- excessive_executions: far more trades a minute than usual
        ('excessive_executions', 'warning', toUInt8(true), toFloat64(w_filled), dictGetOrDefault('order_usual', 'filled', account, 0.), dictGetOrDefault('peer_usual', 'filled', peers, 0.), 'trades in a minute', trade_ids),
        -- order_to_trade: hundreds of orders for each trade, over five minutes
        ('order_to_trade', 'warning', toUInt8(f_placed >= dictGet('alert_thresholds', 'value', ('order_to_trade', '*', 'min_orders'))), toFloat64(f_placed / (f_filled + 1)), dictGetOrDefault('order_usual', 'orders_per_trade', account, 0.), dictGetOrDefault('peer_usual', 'orders_per_trade', peers, 0.), 'orders a trade in five minutes', order_ids),
        -- quote_stuffing: bursts: seconds with burst_messages or more, nearly all of them orders gone within 100 ms
        ('quote_stuffing', 'critical', toUInt8(((placed + cancelled) >= dictGet('alert_thresholds', 'value', ('quote_stuffing', '*', 'burst_messages'))) AND ((w_filled * 50) <= w_placed)), toFloat64(w_stuffed_seconds), 0., 0., 'seconds of stuffing in a minute', order_ids),
        -- price_fade: most of what it cancels it pulls right after a trade has taken from the same side
        ('price_fade', 'warning', toUInt8(w_cancelled >= dictGet('alert_thresholds', 'value', ('price_fade', '*', 'min_cancels'))), toFloat64(if(w_pulled > 0, w_faded / w_pulled, 0)), dictGetOrDefault('order_usual', 'faded_share', account, 0.), dictGetOrDefault('peer_usual', 'faded_share', peers, 0.), 'of its cancelled amount pulled right after trades', order_ids),
        -- layering: stacks bids over levels, sells, and pulls the stack within seconds
        ('layering', 'critical', toUInt8((bids_pulled > 0) AND (t_bid_levels >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_levels'))) AND (t_bids_pulled >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_notional'))) AND (t_sold > 0) AND (t_bids_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'fill_factor')) * t_sold)) AND (t_bids_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'side_factor')) * t_asks_pulled))), toFloat64(bids_pulled / t_bids_pulled), 0., 0., 'of a stack of bids pulled at once, having sold', order_ids),
        -- layering: stacks asks over levels, buys, and pulls the stack within seconds
        ('layering', 'critical', toUInt8((asks_pulled > 0) AND (t_ask_levels >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_levels'))) AND (t_asks_pulled >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_notional'))) AND (t_bought > 0) AND (t_asks_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'fill_factor')) * t_bought)) AND (t_asks_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'side_factor')) * t_bids_pulled))), toFloat64(asks_pulled / t_asks_pulled), 0., 0., 'of a stack of asks pulled at once, having bought', order_ids),
        -- self_trade: trades with itself; one may be an accident of two strategies, persist_signals asks for more
        ('self_trade', 'critical', toUInt8(true), toFloat64(self_trades), 0., 0., 'trades with itself in a second', trade_ids)
    ] AS found
    WHERE found.3 AND (value > 0)
)
WHERE (value >= threshold) AND (dictGetOrDefault('alert_thresholds', 'value', (rule, concat(venue, ':', symbol), 'enabled'), dictGetOrDefault('alert_thresholds', 'value', (rule, concat('tier:', user_tier), 'enabled'), dictGet('alert_thresholds', 'value', (rule, '*', 'enabled')))) > 0);
