-- The way out: what is inserted here goes to the compacted topic `alerts`, keyed by alert_id. The broker does not
-- acknowledge to the view, hence only the fast path: the table `alerts` is the truth and the alert feeder sweeps it.
CREATE TABLE IF NOT EXISTS to_kafka_alerts
(
    `_key` String,
    `alert_id` String,
    `rule` String,
    `severity` String,
    `status` String,
    `entity` String,
    `venue` String,
    `symbol` String,
    `user_id` UInt64,
    `started_time` Int64,
    `event_time` Int64,
    `raised_time` Int64,
    `value` Float64,
    `baseline` Float64,
    `threshold` Float64,
    `summary` String,
    `evidence` String
)
ENGINE = Kafka(chctl_kafka)
SETTINGS kafka_topic_list = 'alerts', kafka_group_name = 'chctl.clickhouse.alerts', kafka_format = 'JSONEachRow', kafka_max_rows_per_message = 1;
