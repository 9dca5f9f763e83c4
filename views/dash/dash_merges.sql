-- Merges and mutations that run now. Grain: one row a merge. Read by: Pipeline health.
CREATE VIEW IF NOT EXISTS dash_merges AS
SELECT
    table,
    partition,
    if(is_mutation, 'mutation', 'merge') AS kind,
    num_parts AS parts,
    progress,
    elapsed AS elapsed_s,
    total_size_bytes_compressed AS bytes_to_merge,
    memory_usage AS memory_bytes
FROM system.merges
WHERE database = currentDatabase();
