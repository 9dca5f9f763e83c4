-- What the order rules see, as shares and scores: price fade, quote-stuffing bursts, layering.
-- price_fade_share: of what it cancelled in the last minute, what it pulled right after a trade took from the same side.
-- layering_score: of one side's stack of the last ten seconds what goes in this second, where the account traded on the
-- other side meanwhile; 0 where it pulled no more than it traded.
-- Grain: one row a (user_id, venue, symbol, second). Read by: the Surveillance dashboard.
CREATE VIEW IF NOT EXISTS dash_order_watch AS
SELECT
    user_id,
    venue,
    symbol,
    second,
    user_tier,
    w_messages AS messages_1m,
    w_placed AS placed_1m,
    w_cancelled AS cancelled_1m,
    w_filled AS trades_1m,
    w_stuffed_seconds AS stuffed_seconds_1m,
    f_placed / greatest(f_filled, 1) AS orders_per_trade_5m,
    if(w_pulled > 0, w_faded / w_pulled, 0) AS price_fade_share,
    if((t_sold > 0) AND (t_bids_pulled > t_sold), bids_pulled / t_bids_pulled, 0) AS bid_layering_score,
    if((t_bought > 0) AND (t_asks_pulled > t_bought), asks_pulled / t_asks_pulled, 0) AS ask_layering_score
FROM order_watch FINAL;
