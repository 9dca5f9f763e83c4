-- market_trades_checked_mv: tells the rows of topic market_trades that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills market_trades_checked.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS market_trades_checked_mv TO market_trades_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
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
    (NOT foreign) AND (names = greatest(1, arraySum([in_venue IS NOT NULL, in_symbol IS NOT NULL, in_trade_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_price IS NOT NULL, in_quantity IS NOT NULL, in_side IS NOT NULL, in_taker IS NOT NULL, in_order_id IS NOT NULL]))) AND (NOT ifNull(
        (in_venue IS NULL)
        OR (in_venue = '')
        OR (length(in_venue) > 32)
        OR (in_symbol IS NULL)
        OR (in_symbol = '')
        OR (length(in_symbol) > 64)
        OR (in_trade_id IS NULL)
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_receive_time IS NULL)
        OR ((in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)))
        OR (in_price IS NULL)
        OR ((in_price <= 0) OR (in_price > 1000000000000))
        OR (in_quantity IS NULL)
        OR ((in_quantity <= 0) OR (in_quantity > 1000000000000000))
        OR (in_side NOT IN ('BUY', 'SELL'))
        OR (in_side IS NULL)
        OR (in_taker IS NULL)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM market_trades_parsed;
