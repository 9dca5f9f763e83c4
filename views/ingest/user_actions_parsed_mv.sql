-- user_actions_parsed_mv: reads each line of topic user_actions as its fields; what cannot be read as its type is NULL.
-- Grain: one line of a message. Read by nobody: fills user_actions_parsed.
-- Generated from contracts/user_actions.yaml by `chctl contracts render`: change the contract, not this file.
CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_parsed_mv TO user_actions_parsed
AS WITH JSONExtract(raw, 'Tuple(event_id Nullable(String), event_time Dynamic, receive_time Dynamic, user_id Dynamic, user_tier Nullable(String), action Nullable(String), venue Nullable(String), symbol Nullable(String), order_id Dynamic, side Nullable(String), type Nullable(String), price Dynamic, quantity Dynamic, filled_quantity Dynamic, status Nullable(String), trade_id Dynamic, counterparty_id Dynamic, liquidity Nullable(String), replaces_order_id Dynamic, order_time Dynamic, asset Nullable(String), amount Dynamic, address_hash Nullable(String), metadata Nullable(String))') AS r
SELECT
    tupleElement(r, 'event_id') AS in_event_id,
    dynamicElement(tupleElement(r, 'event_time'), 'Int64') AS in_event_time,
    dynamicElement(tupleElement(r, 'receive_time'), 'Int64') AS in_receive_time,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'user_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'user_id'), 'Int64'))) AS in_user_id,
    tupleElement(r, 'user_tier') AS in_user_tier,
    tupleElement(r, 'action') AS in_action,
    tupleElement(r, 'venue') AS in_venue,
    tupleElement(r, 'symbol') AS in_symbol,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'order_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'order_id'), 'Int64'))) AS in_order_id,
    tupleElement(r, 'side') AS in_side,
    tupleElement(r, 'type') AS in_type,
    ifNull(dynamicElement(tupleElement(r, 'price'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'price'), 'Int64'))) AS in_price,
    ifNull(dynamicElement(tupleElement(r, 'quantity'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'quantity'), 'Int64'))) AS in_quantity,
    ifNull(dynamicElement(tupleElement(r, 'filled_quantity'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'filled_quantity'), 'Int64'))) AS in_filled_quantity,
    tupleElement(r, 'status') AS in_status,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'trade_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'trade_id'), 'Int64'))) AS in_trade_id,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'counterparty_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'counterparty_id'), 'Int64'))) AS in_counterparty_id,
    tupleElement(r, 'liquidity') AS in_liquidity,
    ifNull(toInt128(dynamicElement(tupleElement(r, 'replaces_order_id'), 'UInt64')), toInt128(dynamicElement(tupleElement(r, 'replaces_order_id'), 'Int64'))) AS in_replaces_order_id,
    dynamicElement(tupleElement(r, 'order_time'), 'Int64') AS in_order_time,
    tupleElement(r, 'asset') AS in_asset,
    ifNull(dynamicElement(tupleElement(r, 'amount'), 'Float64'), toFloat64(dynamicElement(tupleElement(r, 'amount'), 'Int64'))) AS in_amount,
    tupleElement(r, 'address_hash') AS in_address_hash,
    tupleElement(r, 'metadata') AS in_metadata,
    raw,
    ((startsWith(raw, '{') * JSONLength(raw)) = greatest(1, arraySum([in_event_id IS NOT NULL, in_event_time IS NOT NULL, in_receive_time IS NOT NULL, in_user_id IS NOT NULL, in_user_tier IS NOT NULL, in_action IS NOT NULL, in_venue IS NOT NULL, in_symbol IS NOT NULL, in_order_id IS NOT NULL, in_side IS NOT NULL, in_type IS NOT NULL, in_price IS NOT NULL, in_quantity IS NOT NULL, in_filled_quantity IS NOT NULL, in_status IS NOT NULL, in_trade_id IS NOT NULL, in_counterparty_id IS NOT NULL, in_liquidity IS NOT NULL, in_replaces_order_id IS NOT NULL, in_order_time IS NOT NULL, in_asset IS NOT NULL, in_amount IS NOT NULL, in_address_hash IS NOT NULL, in_metadata IS NOT NULL]))) AND (NOT arrayExists(x -> ((ascii(x) IN (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123)) OR (x IN ('true', 'false'))), [in_event_id, in_user_tier, in_venue, in_symbol, in_type, in_status, in_asset, in_address_hash, in_metadata])) AS plain,
    if(plain, '', raw) AS odd,
    _topic AS topic,
    _partition AS partition,
    _offset AS offset,
    ifNull(_timestamp_ms, now64(3)) AS kafka_time
FROM kafka_user_actions;
