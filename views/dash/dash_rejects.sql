-- What did not fit its contract, per minute and reason. Grain: one row a (minute, topic, reason).
-- Read by: Pipeline health, the ledger of the demo.
CREATE VIEW IF NOT EXISTS dash_rejects AS
SELECT
    toStartOfMinute(ingest_time) AS minute,
    topic,
    reason,
    count() AS events
FROM rejected_events
FINAL
GROUP BY
    minute,
    topic,
    reason;
