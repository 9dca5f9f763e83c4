-- market_trades_landing_mv: types the rows of topic market_trades that obey its contract.
-- Grain: one row. Read by nobody: fills market_trades_landing, together with market_trades_odd_landing_mv.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_landing_mv TO market_trades_landing
AS SELECT
    ifNull(in_venue, '') AS venue,
    ifNull(in_symbol, '') AS symbol,
    ifNull(in_trade_id, 0) AS trade_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_price, 0) AS price,
    ifNull(in_quantity, 0) AS quantity,
    ifNull(in_side, '') AS side,
    ifNull(in_taker, false) AS taker,
    ifNull(in_order_id, 0) AS order_id,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM market_trades_checked
WHERE valid;
