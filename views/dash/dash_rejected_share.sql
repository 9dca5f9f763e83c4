-- What share of a topic's rows its contract refused in the last hour. Grain: one row a topic with rows. Read by: dash_health,
-- Pipeline health. Stored rows are counted as they came, before a repetition replaced itself; those of social_raw are the
-- posts that were rated.
CREATE VIEW IF NOT EXISTS dash_rejected_share AS
SELECT
    topic,
    sum(stored_rows) AS stored,
    sum(rejected_rows) AS rejected,
    rejected / (stored + rejected) AS share
FROM
(
    SELECT
        'market_trades' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM trades
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        'market_l2' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM book_deltas
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        'user_actions' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM user_orders
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        'user_actions' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM user_transfers
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        'user_actions' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM user_logins
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        'frontend_events' AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM frontend_actions
    WHERE (event_time > (now() - toIntervalDay(2))) AND (ingest_time > (now() - 3600))
    UNION ALL
    SELECT
        arrayJoin(['social_raw', 'social_processed']) AS topic,
        count() AS stored_rows,
        0 AS rejected_rows
    FROM social_buzz
    WHERE processed_time > (now() - 3600)
    UNION ALL
    SELECT
        toString(topic) AS topic,
        0 AS stored_rows,
        count() AS rejected_rows
    FROM rejected_events
    WHERE ingest_time > (now() - 3600)
    GROUP BY topic
)
GROUP BY topic
HAVING (stored + rejected) > 0;
