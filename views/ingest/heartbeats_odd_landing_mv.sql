-- heartbeats_odd_landing_mv: looks closer at the odd rows of topic heartbeats and names the first breach of its contract.
-- Grain: one row. Read by nobody: fills heartbeats_landing.
-- Generated from contracts/heartbeats.yaml by `chctl contracts render`: change the contract, not this file.
-- It looks at the names, those with a value (`filled`) and those whose value would be coerced (`mistyped`);
-- `ignore` is always false, and has these computed once instead of anew in each lazy branch.
CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_odd_landing_mv TO heartbeats_landing
AS SELECT
    ifNull(in_sender, '') AS sender,
    fromUnixTimestamp64Milli(ifNull(in_sent_time, 0), 'UTC') AS sent_time,
    raw,
    multiIf(
        ignore(keys, filled, mistyped), '',
        JSONType(raw) != 'Object', 'not a JSON object',
        length(arrayDistinct(keys)) < length(keys), 'duplicate field',
        has(mistyped, 'sender'), 'sender: not a string',
        in_sender IS NULL, 'sender: missing',
        in_sender = '', 'sender: empty',
        length(in_sender) > 128, 'sender: longer than 128 bytes',
        has(mistyped, 'sent_time'), 'sent_time: not an integer',
        (in_sent_time IS NULL) AND has(filled, 'sent_time'), 'sent_time: out of bounds',
        in_sent_time IS NULL, 'sent_time: missing',
        (in_sent_time < 1230768000000) OR (in_sent_time > latest_ms), 'sent_time: out of bounds',
        NOT hasAll(['sender', 'sent_time'], keys), concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has(['sender', 'sent_time'], k)), keys), 64)),
        '') AS reject_reason,
    topic,
    partition,
    offset,
    kafka_time
FROM
(
    SELECT
        *,
        toUnixTimestamp64Milli(now64(3)) + 86400000 AS latest_ms,
        JSONExtractKeysAndValuesRaw(raw) AS pairs,
        arrayMap(p -> (p.1), pairs) AS keys,
        arrayMap(p -> (p.1), arrayFilter(p -> (p.2 != 'null'), pairs)) AS filled,
        arrayMap(p -> (p.1), arrayFilter(p -> ((p.2 != 'null') AND (concat(p.1, ':', multiIf(startsWith(p.2, '"'), 's', startsWith(p.2, '['), 'a', p.2 IN ('true', 'false'), 'b', match(p.2, '^-?[0-9]+$'), 'i', match(p.2, '^-?[0-9]'), 'd', '')) NOT IN ('sender:s', 'sent_time:i'))), pairs)) AS mistyped
    FROM heartbeats_odd
);
