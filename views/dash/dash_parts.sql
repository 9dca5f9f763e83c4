-- What each table holds on disk. Grain: one row a table with rows. Read by: Pipeline health.
-- max_parts_in_partition: ClickHouse delays inserts from 1,000 and refuses them from 3,000 (its defaults).
CREATE VIEW IF NOT EXISTS dash_parts AS
SELECT
    table,
    sum(partition_parts) AS parts,
    max(partition_parts) AS max_parts_in_partition,
    count() AS partitions,
    sum(partition_rows) AS rows,
    sum(partition_bytes) AS bytes_on_disk,
    sum(partition_raw_bytes) AS uncompressed_bytes,
    min(oldest) AS oldest_day
FROM
(
    SELECT
        table,
        partition_id,
        count() AS partition_parts,
        sum(rows) AS partition_rows,
        sum(bytes_on_disk) AS partition_bytes,
        sum(data_uncompressed_bytes) AS partition_raw_bytes,
        min(min_date) AS oldest
    FROM system.parts
    WHERE active AND (database = currentDatabase())
    GROUP BY
        table,
        partition_id
)
GROUP BY table;
