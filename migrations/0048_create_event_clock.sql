-- How far each stream has come in event time, block by block: what ends an alert is that its stream went on without a
-- bad second. In memory, for only the last blocks count; after a restart the next block sets the clock again.
-- Grain: one row an inserted block, stream and book. Written by event_clock_by_..._mv. Read by: alerts_resolved_mv.
CREATE TABLE IF NOT EXISTS event_clock
(
    `stream` LowCardinality(String) COMMENT 'book, user or social',
    `venue` LowCardinality(String) COMMENT 'of a book; empty elsewhere',
    `symbol` LowCardinality(String) COMMENT 'of a book; empty elsewhere',
    `event_time` DateTime('UTC') COMMENT 'median of the block',
    `seen_time` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'clock of the node'
)
ENGINE = Memory
SETTINGS max_rows_to_keep = 20000;
