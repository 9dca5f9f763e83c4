-- rejected_market_trades_mv: keeps every row of topic market_trades that breaks its contract,
-- as it came, and why.
-- Grain: one rejected row. Read by nobody: fills rejected_events.
-- Generated from contracts/market_trades.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_market_trades_mv TO rejected_events
AS SELECT
    topic,
    partition,
    offset,
    reject_reason AS reason,
    raw,
    kafka_time,
    now64(3, 'UTC') AS ingest_time
FROM market_trades_landing
WHERE reject_reason != '';
