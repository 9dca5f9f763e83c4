-- user_actions_odd_mv: takes out the rows of topic user_actions that need a closer look.
-- Grain: one line of a message. Read by nobody: fills user_actions_odd.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_odd_mv TO user_actions_odd
AS SELECT
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
    topic,
    partition,
    offset,
    kafka_time
FROM user_actions_checked
WHERE NOT valid;
