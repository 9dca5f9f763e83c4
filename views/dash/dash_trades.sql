-- Trades, each once. Grain: one row a trade. Read by: the Market dashboard, the ledger of the demo.
CREATE VIEW IF NOT EXISTS dash_trades AS
SELECT
    event_time,
    venue,
    symbol,
    trade_id,
    price,
    quantity,
    price * quantity AS notional,
    side
FROM trades
FINAL;
