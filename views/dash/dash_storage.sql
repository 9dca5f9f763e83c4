-- Disk, parts and age of every stored table. Grain: one row a table. Read by: dash_health, Pipeline health.
-- `max_parts`: active parts of its fullest partition. `ttl_late_s`: how long the oldest part has outlived its TTL, 0 where none
-- has. `day_bytes`: bytes of a day, the mean of the last seven whole days; NULL before there is one. `days`: days it holds.
CREATE VIEW IF NOT EXISTS dash_storage AS
SELECT
    table,
    sum(partitions.rows) AS rows,
    sum(partitions.bytes) AS bytes,
    sum(partitions.parts) AS parts,
    max(partitions.parts) AS max_parts,
    max(partitions.ttl_late_s) AS ttl_late_s,
    countIf(partitions.day IS NOT NULL) AS days,
    avgOrNullIf(partitions.bytes, (partitions.day < toDate(now())) AND (partitions.day >= (toDate(now()) - 7))) AS day_bytes
FROM
(
    SELECT
        table,
        partition,
        toDate(parseDateTimeBestEffortOrNull(partition)) AS day,
        sum(stored.rows) AS rows,
        sum(stored.bytes_on_disk) AS bytes,
        count() AS parts,
        max(if(toUnixTimestamp(stored.delete_ttl_info_max) = 0, 0, greatest(0, dateDiff('second', stored.delete_ttl_info_max, now())))) AS ttl_late_s
    FROM system.parts AS stored
    WHERE (database = currentDatabase()) AND active
    GROUP BY
        table,
        partition
) AS partitions
GROUP BY table;
