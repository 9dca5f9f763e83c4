-- The node's disks. Grain: one row a disk. Read by: Pipeline health. Object storage has no end: its shares are NULL.
CREATE VIEW IF NOT EXISTS dash_disks AS
SELECT
    name AS disk,
    type,
    total_space AS total_bytes,
    free_space AS free_bytes,
    if(is_remote, NULL, free_space / total_space) AS free_share
FROM system.disks;
