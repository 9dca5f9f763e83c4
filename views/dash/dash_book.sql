-- The book's best levels per window, each window once. Grain: one row a published window.
-- Read by: the Market dashboard, the demo. price and size in the venue's units; bids and asks best first.
CREATE VIEW IF NOT EXISTS dash_book AS
SELECT
    event_time,
    window_start,
    venue,
    symbol,
    update_type,
    last_seq,
    bids,
    asks,
    (bids[1]).1 AS best_bid,
    (asks[1]).1 AS best_ask,
    (best_bid + best_ask) / 2 AS mid,
    if(empty(bids) OR empty(asks), NULL, ((best_ask - best_bid) / mid) * 10000) AS spread_bps
FROM book_topn
FINAL;
