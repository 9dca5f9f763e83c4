-- Whom the routing tree wants told of an alert, when first and how often again. The tree is a file of the feeder's, so the
-- feeder writes down what it says of each alert; what is due by it is decided in SQL, see alerts_due.
-- Grain: one row an alert, the latest wins: each holder of the lease writes its own, and again when an owner changes.
-- Read by: alerts_due, feeders/alerts.py.
CREATE TABLE IF NOT EXISTS alert_plans
(
    `alert_id` String COMMENT 'of the table alerts',
    `plan` Array(Tuple(channel String, after_s Float64, repeat_s Float64, acknowledges UInt8)) COMMENT 'after_s: since it was raised, 0 where it is not an escalation; repeat_s 0: once; acknowledges: the channel knows acknowledgement',
    `planned_by` String COMMENT 'feeder, and a hash of the owners it knew',
    `planned_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the latest row wins'
)
ENGINE = ReplacingMergeTree(planned_time)
ORDER BY alert_id
TTL toDateTime(planned_time) + INTERVAL 30 DAY;
