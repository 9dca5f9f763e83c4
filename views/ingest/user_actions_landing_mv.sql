-- user_actions_landing_mv: types the rows of topic user_actions that obey its contract.
-- Grain: one row. Read by nobody: fills user_actions_landing, together with user_actions_odd_landing_mv.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_landing_mv TO user_actions_landing
AS SELECT
    ifNull(in_event_id, '') AS event_id,
    fromUnixTimestamp64Milli(ifNull(in_event_time, 0), 'UTC') AS event_time,
    fromUnixTimestamp64Micro(ifNull(in_receive_time, 0), 'UTC') AS receive_time,
    ifNull(in_user_id, 0) AS user_id,
    ifNull(in_user_tier, '') AS user_tier,
    ifNull(in_action, '') AS action,
    ifNull(in_venue, '') AS venue,
    ifNull(in_symbol, '') AS symbol,
    in_order_id AS order_id,
    in_side AS side,
    in_type AS type,
    in_price AS price,
    in_quantity AS quantity,
    in_filled_quantity AS filled_quantity,
    in_status AS status,
    in_trade_id AS trade_id,
    in_counterparty_id AS counterparty_id,
    in_liquidity AS liquidity,
    in_replaces_order_id AS replaces_order_id,
    fromUnixTimestamp64Milli(in_order_time, 'UTC') AS order_time,
    in_asset AS asset,
    in_amount AS amount,
    in_address_hash AS address_hash,
    in_metadata AS metadata,
    raw,
    '' AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM user_actions_checked
WHERE valid;
