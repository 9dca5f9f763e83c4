-- What the feeder adds to an attempt: which page of the alert it was, and who sent it.
ALTER TABLE alert_deliveries
    ADD COLUMN IF NOT EXISTS `step` UInt16 COMMENT '0: the first page; counts repeats and escalations' AFTER `latency_ms`,
    ADD COLUMN IF NOT EXISTS `feeder` String COMMENT 'owner of the lease at the time' AFTER `step`,
    ADD COLUMN IF NOT EXISTS `trace_id` String COMMENT 'OpenTelemetry trace of the delivery, hex' AFTER `feeder`;

-- A retried insert of attempts (answer lost, rows stored) is dropped by its token.
ALTER TABLE alert_deliveries MODIFY SETTING non_replicated_deduplication_window = 10000;
