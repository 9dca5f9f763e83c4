-- user_actions_checked_mv: tells the rows of topic user_actions that obey its contract from those that need a closer look.
-- Grain: one line of a message. Read by nobody: fills user_actions_checked.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.
-- A row is valid that names only fields, each once and with a value that was read, and breaks no bound.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_checked_mv TO user_actions_checked
AS WITH toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms SELECT
    in_event_id,
    in_event_time,
    in_receive_time,
    in_user_id,
    in_user_tier,
    in_action,
    in_venue,
    in_symbol,
    in_order_id,
    in_side,
    in_type,
    in_price,
    in_quantity,
    in_filled_quantity,
    in_status,
    in_trade_id,
    in_counterparty_id,
    in_liquidity,
    in_replaces_order_id,
    in_order_time,
    in_asset,
    in_amount,
    in_address_hash,
    in_metadata,
    raw,
    (NOT foreign) AND (names = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_user_id IS NOT NULL, in_user_tier IS NOT NULL, in_action IS NOT NULL, in_venue IS NOT NULL, in_symbol IS NOT NULL, in_order_id IS NOT NULL, in_side IS NOT NULL, in_type IS NOT NULL, in_price IS NOT NULL, in_quantity IS NOT NULL, in_filled_quantity IS NOT NULL, in_status IS NOT NULL, in_trade_id IS NOT NULL, in_counterparty_id IS NOT NULL, in_liquidity IS NOT NULL, in_replaces_order_id IS NOT NULL, in_order_time IS NOT NULL, in_asset IS NOT NULL, in_amount IS NOT NULL, in_address_hash IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT ifNull(
        (in_event_id IS NULL)
        OR (in_event_id = '')
        OR (length(in_event_id) > 128)
        OR (in_event_time IS NULL)
        OR ((in_event_time < 1230768000000) OR (in_event_time > latest_ms))
        OR (in_receive_time IS NULL)
        OR ((in_receive_time < 1230768000000000) OR (in_receive_time > (latest_ms * 1000)))
        OR (in_user_id IS NULL)
        OR (in_user_id < 1)
        OR (length(in_user_tier) > 32)
        OR (in_action NOT IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire', 'deposit', 'withdrawal', 'login', 'login_failed'))
        OR (in_action IS NULL)
        OR ((in_venue IS NULL) AND (in_action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire')))
        OR (in_venue = '')
        OR (length(in_venue) > 32)
        OR ((in_symbol IS NULL) AND (in_action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire')))
        OR (in_symbol = '')
        OR (length(in_symbol) > 64)
        OR ((in_order_id IS NULL) AND (in_action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire')))
        OR (in_side NOT IN ('BUY', 'SELL'))
        OR ((in_side IS NULL) AND (in_action IN ('new', 'cancel', 'replace', 'fill', 'reject', 'expire')))
        OR (in_type = '')
        OR (length(in_type) > 32)
        OR ((in_price IS NULL) AND (in_action IN ('fill')))
        OR ((in_price < 0) OR (in_price > 1000000000000))
        OR ((in_quantity IS NULL) AND (in_action IN ('new', 'replace', 'fill')))
        OR ((in_quantity <= 0) OR (in_quantity > 1000000000000000))
        OR ((in_filled_quantity < 0) OR (in_filled_quantity > 1000000000000000))
        OR (in_status = '')
        OR (length(in_status) > 32)
        OR ((in_trade_id IS NULL) AND (in_action IN ('fill')))
        OR (in_liquidity NOT IN ('maker', 'taker'))
        OR ((in_liquidity IS NULL) AND (in_action IN ('fill')))
        OR ((in_replaces_order_id IS NULL) AND (in_action IN ('replace')))
        OR ((in_order_time < 1230768000000) OR (in_order_time > latest_ms))
        OR ((in_asset IS NULL) AND (in_action IN ('deposit', 'withdrawal')))
        OR (in_asset = '')
        OR (length(in_asset) > 32)
        OR ((in_amount IS NULL) AND (in_action IN ('deposit', 'withdrawal')))
        OR ((in_amount <= 0) OR (in_amount > 1e+18))
        OR (in_address_hash = '')
        OR (length(in_address_hash) > 128)
        OR (length(in_metadata) > 16384)
    , false)) AS valid,
    topic,
    partition,
    offset,
    kafka_time
FROM user_actions_parsed;
