-- market_trades_odd_mv: takes out the rows of topic market_trades that need a closer look.
-- Grain: one line of a message. Read by nobody: fills market_trades_odd.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_odd_mv TO market_trades_odd
AS SELECT
    in_venue,
    in_symbol,
    in_trade_id,
    in_event_time,
    in_receive_time,
    in_price,
    in_quantity,
    in_side,
    in_taker,
    in_order_id,
    raw,
    topic,
    partition,
    offset,
    kafka_time
FROM market_trades_checked
WHERE NOT valid;
