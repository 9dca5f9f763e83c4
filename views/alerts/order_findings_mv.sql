-- The rules about what an account does in a book: aggressive_cancels, order_velocity, excessive_executions,
-- order_to_trade, quote_stuffing, price_fade, layering, self_trade. One view, because each view on a busy table costs every
-- insert some milliseconds; a rule is one entry of the list: its name, severity, its value (0 where its condition does not
-- hold), which usual figure it is compared with (of order_usual and peer_usual: 1 messages, 2 cancelled_100ms, 3 filled,
-- 4 faded_share, 5 orders_per_trade, 0 none), what the value counts, and the ids behind it.
-- Only what is above the lowest min_value of the rule in any scope goes on to alert_orders_mv, which compares: hardly an
-- account gets past that line, and a view that gets no rows is not even planned.
-- Grain: one row a (rule, user_id, venue, symbol, second) that is worth comparing. Fills order_findings.
-- Parameters (alert_rules), '*' only: order_to_trade min_orders; price_fade min_cancels; quote_stuffing burst_messages;
-- layering min_levels, min_notional, side_factor, fill_factor; and those of alert_orders_mv. Cost: the inserted rows.
CREATE MATERIALIZED VIEW IF NOT EXISTS order_findings_mv TO order_findings AS
SELECT
    user_id,
    venue,
    symbol,
    second,
    user_tier,
    found.1 AS rule,
    found.2 AS severity,
    found.3 AS value,
    found.4 AS usual,
    found.5 AS what,
    found.6 AS ids,
    w_placed,
    w_cancelled,
    w_cancelled_100ms,
    w_filled,
    t_bids_pulled,
    t_asks_pulled,
    t_bought,
    t_sold,
    f_placed,
    f_filled
FROM order_watch
ARRAY JOIN [
    -- aggressive_cancels: most of its orders are cancelled within 100 ms. A cancel rate alone says nothing: market makers cancel 95 %
    ('aggressive_cancels', 'warning', if((w_cancelled_100ms >= (0.5 * w_cancelled)) AND (w_cancelled >= (0.8 * w_placed)), toFloat64(w_cancelled_100ms), 0.), 2, 'cancels within 100 ms in a minute', order_ids),
    -- order_velocity: far more orders and cancels a minute than usual
    ('order_velocity', 'warning', toFloat64(w_messages), 1, 'orders and cancels in a minute', order_ids),
    -- excessive_executions: far more trades a minute than usual
    ('excessive_executions', 'warning', toFloat64(w_filled), 3, 'trades in a minute', trade_ids),
    -- order_to_trade: hundreds of orders for each trade, over five minutes
    ('order_to_trade', 'warning', if(f_placed >= dictGet('alert_thresholds', 'value', ('order_to_trade', '*', 'min_orders')), toFloat64(f_placed / (f_filled + 1)), 0.), 5, 'orders a trade in five minutes', order_ids),
    -- quote_stuffing: bursts: seconds with burst_messages or more, nearly all of them orders gone within 100 ms
    ('quote_stuffing', 'critical', if(((placed + cancelled) >= dictGet('alert_thresholds', 'value', ('quote_stuffing', '*', 'burst_messages'))) AND ((w_filled * 50) <= w_placed), toFloat64(w_stuffed_seconds), 0.), 0, 'seconds of stuffing in a minute', order_ids),
    -- price_fade: most of what it cancels it pulls right after a trade has taken from the same side
    ('price_fade', 'warning', if(w_cancelled >= dictGet('alert_thresholds', 'value', ('price_fade', '*', 'min_cancels')), toFloat64(if(w_pulled > 0, w_faded / w_pulled, 0)), 0.), 4, 'of its cancelled amount pulled right after trades', order_ids),
    -- layering: stacks bids over levels, sells, and pulls the stack within seconds
    ('layering', 'critical', if((bids_pulled > 0) AND (t_bid_levels >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_levels'))) AND (t_bids_pulled >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_notional'))) AND (t_sold > 0) AND (t_bids_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'fill_factor')) * t_sold)) AND (t_bids_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'side_factor')) * t_asks_pulled)), toFloat64(bids_pulled / t_bids_pulled), 0.), 0, 'of a stack of bids pulled at once, having sold', order_ids),
    -- layering: stacks asks over levels, buys, and pulls the stack within seconds
    ('layering', 'critical', if((asks_pulled > 0) AND (t_ask_levels >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_levels'))) AND (t_asks_pulled >= dictGet('alert_thresholds', 'value', ('layering', '*', 'min_notional'))) AND (t_bought > 0) AND (t_asks_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'fill_factor')) * t_bought)) AND (t_asks_pulled >= (dictGet('alert_thresholds', 'value', ('layering', '*', 'side_factor')) * t_bids_pulled)), toFloat64(asks_pulled / t_asks_pulled), 0.), 0, 'of a stack of asks pulled at once, having bought', order_ids),
    -- self_trade: trades with itself; one may be an accident of two strategies, persist_signals asks for more
    ('self_trade', 'critical', toFloat64(self_trades), 0, 'trades with itself in a second', trade_ids)
] AS found
WHERE ((found.3) > 0) AND ((found.3) >= dictGetOrDefault('alert_thresholds', 'value', (found.1, 'least', 'min_value'), 0.));
