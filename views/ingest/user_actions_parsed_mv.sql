-- user_actions_parsed_mv: reads each line of topic user_actions as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills user_actions_parsed through user_actions_gate.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_parsed_mv TO user_actions_gate
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Nullable(Int64), receive_time Nullable(Int64), user_id Nullable(UInt64), user_tier Nullable(String), action Nullable(String), venue Nullable(String), symbol Nullable(String), order_id Nullable(UInt64), side Nullable(String), type Nullable(String), price Nullable(Float64), quantity Nullable(Float64), filled_quantity Nullable(Float64), status Nullable(String), trade_id Nullable(UInt64), counterparty_id Nullable(UInt64), liquidity Nullable(String), replaces_order_id Nullable(UInt64), order_time Nullable(Int64), asset Nullable(String), amount Nullable(Float64), address_hash Nullable(String), metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    tupleElement(r, 'event_time') AS in_event_time,
    tupleElement(r, 'receive_time') AS in_receive_time,
    tupleElement(r, 'user_id') AS in_user_id,
    tupleElement(r, 'user_tier') AS in_user_tier,
    tupleElement(r, 'action') AS in_action,
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    tupleElement(r, 'order_id') AS in_order_id,
    tupleElement(r, 'side') AS in_side,
    tupleElement(r, 'type') AS in_type,
    tupleElement(r, 'price') AS in_price,
    tupleElement(r, 'quantity') AS in_quantity,
    tupleElement(r, 'filled_quantity') AS in_filled_quantity,
    tupleElement(r, 'status') AS in_status,
    tupleElement(r, 'trade_id') AS in_trade_id,
    tupleElement(r, 'counterparty_id') AS in_counterparty_id,
    tupleElement(r, 'liquidity') AS in_liquidity,
    tupleElement(r, 'replaces_order_id') AS in_replaces_order_id,
    tupleElement(r, 'order_time') AS in_order_time,
    tupleElement(r, 'asset') AS in_asset,
    tupleElement(r, 'amount') AS in_amount,
    tupleElement(r, 'address_hash') AS in_address_hash,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    startsWith(raw, '{') * JSONLength(raw) AS names,
    match(raw, '"(?:event_id|user_tier|venue|symbol|type|status|asset|address_hash|metadata)"\\s*:\\s*[^"n\\s]|"(?:price|quantity|filled_quantity|amount)"\\s*:\\s*["tf\\[{]|"(?:event_time|receive_time|user_id|order_id|trade_id|counterparty_id|replaces_order_id|order_time)"\\s*:\\s*(?:["tf\\[{]|-?[0-9]*[.eE])|\\\\u00[2-7]') AS foreign,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_user_actions;
