-- What the processes of the social group spend with their provider, on whatever host: the budget that they share.
-- Grain: one row a request; first its worst cost (version 0), then what it came to (version 1; 0 USD where the budget
-- refused it). Read and written by: feeders/analysis/group_budget.py.
CREATE TABLE IF NOT EXISTS social_spend
(
    `day` Date COMMENT 'UTC, the day whose cap it counts against',
    `id` String COMMENT 'the request, chosen by its process',
    `reserved_time` DateTime64(3, 'UTC') COMMENT 'clock of the process',
    `usd` Float64 COMMENT 'reserved, or billed',
    `tokens` UInt64 COMMENT 'reserved, or billed',
    `host` LowCardinality(String) COMMENT 'where it was asked',
    `version` UInt8 COMMENT '1 replaces 0'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(day)
ORDER BY (day, id)
TTL day + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;
