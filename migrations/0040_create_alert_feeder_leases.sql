-- Who delivers alerts: one feeder at a time, the others stand by. See feeders/alerting/lease.py.
-- Grain: one row a change of hands. Insert deduplication makes the first insert of an epoch the only one.
-- Read by: feeders/alerts.py, chctl alerts stats.
CREATE TABLE IF NOT EXISTS alert_feeder_leases
(
    `name` LowCardinality(String) COMMENT 'what is held; alerts for the alert feeder',
    `epoch` UInt64 COMMENT 'from 1, one more at each change of hands',
    `owner` String COMMENT 'host, process and start of the feeder',
    `taken_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node'
)
ENGINE = MergeTree
ORDER BY (name, epoch)
SETTINGS non_replicated_deduplication_window = 1000;

-- Signs of life of the holder. Grain: the latest beat of an epoch.
CREATE TABLE IF NOT EXISTS alert_feeder_beats
(
    `name` LowCardinality(String) COMMENT 'as in alert_feeder_leases',
    `epoch` UInt64 COMMENT 'as in alert_feeder_leases',
    `beat_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'clock of the node',
    `released` UInt8 COMMENT '1: given back, free at once'
)
ENGINE = ReplacingMergeTree(beat_time)
ORDER BY (name, epoch, released);
