-- Is the node well? One row a check and subject, with the limit from alert_rules (rule health), a verdict and what to do.
-- Grain: one row a (check, subject). Read by: chctl doctor, alert_health_mv, Pipeline health. `status`: ok, warn, fail; a value
-- that is NULL was not seen yet. What only a client can see (reachability, clocks, topics, lag) chctl doctor adds.
CREATE VIEW IF NOT EXISTS dash_health AS
SELECT
    check,
    subject,
    status,
    value,
    bound,
    unit,
    says,
    todo
FROM
(
    SELECT
        'consumer' AS check,
        name AS subject,
        toFloat64(silent_s) AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'consumer_silent_s')) AS bound,
        's' AS unit,
        multiIf(recent_errors > 0, 'fail', silent_s IS NULL, 'warn', silent_s > bound, 'fail', partitions = 0, 'warn', 'ok') AS status,
        multiIf(recent_errors > 0, concat('failing: ', last_error), silent_s IS NULL, 'has not polled since the server started', silent_s > bound, 'has stopped polling', partitions = 0, 'holds no partition', concat('polls, ', toString(partitions), ' partitions')) AS says,
        'Read the error; chctl status and chctl drift say whether a view behind it is missing; else look at the server log' AS todo
    FROM dash_consumers
    UNION ALL
    SELECT
        'rejects' AS check,
        topic AS subject,
        share AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'rejected_share')) AS bound,
        'of rows' AS unit,
        multiIf(rejected = 0, 'ok', (share > bound) AND (rejected >= 10), 'fail', 'warn') AS status,
        concat(toString(rejected), ' of ', toString(stored + rejected), ' rows refused within an hour') AS says,
        'SELECT * FROM dash_rejects names the reasons, rejected_events holds the rows: mend the producer, then produce them again' AS todo
    FROM dash_rejected_share
    UNION ALL
    SELECT
        'refresh' AS check,
        view AS subject,
        if(last_success_time IS NULL, NULL, toFloat64(dateDiff('second', assumeNotNull(last_success_time), now()))) AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'refresh_late_s')) AS bound,
        's' AS unit,
        multiIf(exception != '', 'fail', last_success_time IS NULL, 'warn', value > bound, 'fail', 'ok') AS status,
        multiIf(exception != '', concat('failing: ', exception), last_success_time IS NULL, 'has not been computed since the server started', concat('computed ', toString(value), ' s ago')) AS says,
        'Run its SELECT by hand; SYSTEM REFRESH VIEW tries again at once' AS todo
    FROM system.view_refreshes
    WHERE database = currentDatabase()
    UNION ALL
    SELECT
        'dictionary' AS check,
        name AS subject,
        toFloat64(error_count) AS value,
        0 AS bound,
        'errors' AS unit,
        if((dictionaries.status = 'FAILED') OR (last_exception != ''), 'fail', 'ok') AS status,
        if(last_exception != '', concat('failing: ', last_exception), concat(toString(element_count), ' rows, ', lower(toString(dictionaries.status)))) AS says,
        'Rules read their thresholds from it: run the query of its source; SYSTEM RELOAD DICTIONARY tries again at once' AS todo
    FROM system.dictionaries AS dictionaries
    WHERE database = currentDatabase()
    UNION ALL
    SELECT
        'parts' AS check,
        table AS subject,
        max_parts / (SELECT toFloat64(value) FROM system.merge_tree_settings WHERE name = 'parts_to_throw_insert') AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'parts_share')) AS bound,
        'of the limit' AS unit,
        multiIf(value > bound, 'fail', value > (bound / 2), 'warn', 'ok') AS status,
        concat(toString(max_parts), ' active parts in its fullest partition, ', formatReadableSize(bytes)) AS says,
        'Merges do not keep up: system.merges, disk and CPU; fewer and larger blocks (kafka_flush_interval_ms)' AS todo
    FROM dash_storage
    UNION ALL
    SELECT
        'ttl' AS check,
        table AS subject,
        toFloat64(ttl_late_s) AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'ttl_late_s')) AS bound,
        's' AS unit,
        multiIf(value > bound, 'fail', value > (bound / 2), 'warn', 'ok') AS status,
        if(ttl_late_s > 0, 'rows outlive their TTL', 'nothing overdue') AS says,
        'Is a merge or a mutation in its way (system.merges, system.mutations)? ALTER TABLE ... MATERIALIZE TTL drops it now' AS todo
    FROM dash_storage
    UNION ALL
    SELECT
        'mutation' AS check,
        table AS subject,
        toFloat64(max(dateDiff('second', create_time, now()))) AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'mutation_s')) AS bound,
        's' AS unit,
        multiIf((value > bound) OR (max(latest_fail_reason) != ''), 'fail', 'warn') AS status,
        concat(toString(count()), ' under way; ', max(latest_fail_reason)) AS says,
        'KILL MUTATION gives it up; chctl history says who began it' AS todo
    FROM system.mutations
    WHERE (database = currentDatabase()) AND (NOT is_done)
    GROUP BY table
    UNION ALL
    SELECT
        'disk_free' AS check,
        name AS subject,
        free_space / total_space AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'disk_free_share')) AS bound,
        'of the disk' AS unit,
        multiIf(value < bound, 'fail', value < (bound * 2), 'warn', 'ok') AS status,
        concat(formatReadableSize(free_space), ' of ', formatReadableSize(total_space), ' free') AS says,
        'Shorten a TTL, move cold days to S3 (optional/s3_tier.xml), or grow the disk' AS todo
    FROM system.disks
    WHERE (total_space > 0) AND (NOT is_remote)
    UNION ALL
    SELECT
        'disk_days' AS check,
        'default' AS subject,
        disk.free_space / stored.growth AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'disk_days')) AS bound,
        'days' AS unit,
        multiIf((stored.growth IS NULL) OR (disk.free_space > stored.until_steady), 'ok', value < bound, 'fail', value < (bound * 2), 'warn', 'ok') AS status,
        multiIf(stored.growth IS NULL, 'less than a whole day of data: not known yet', disk.free_space > stored.until_steady, concat('room for all 30 days: ', formatReadableSize(assumeNotNull(stored.growth)), ' a day'), concat('full in ', toString(floor(assumeNotNull(value), 1)), ' days at ', formatReadableSize(assumeNotNull(stored.growth)), ' a day')) AS says,
        'Shorten a TTL, move cold days to S3 (optional/s3_tier.xml), or grow the disk; chctl sizing says how far' AS todo
    FROM
    (
        SELECT
            sumOrNull(day_bytes) AS growth,
            sum(ifNull(day_bytes, 0) * greatest(0, 30 - toInt64(days))) AS until_steady
        FROM dash_storage
    ) AS stored
    CROSS JOIN
    (
        SELECT free_space
        FROM system.disks
        WHERE name = 'default'
    ) AS disk
    UNION ALL
    SELECT
        'heartbeat' AS check,
        'alert_path' AS subject,
        if(countIf(outcome = 'delivered') = 0, NULL, toFloat64(dateDiff('second', maxIf(raised_time, outcome = 'delivered'), now64(3)))) AS value,
        dictGet('alert_thresholds', 'value', ('health', '*', 'heartbeat_late_s')) AS bound,
        's' AS unit,
        multiIf(count() = 0, 'warn', value IS NULL, 'fail', value > bound, 'fail', argMaxIf(http_status, sent_time, outcome = 'delivered') = 0, 'warn', 'ok') AS status,
        multiIf(count() = 0, 'no heartbeat yet: is the alert feeder running?', value IS NULL, concat('none was delivered: ', argMax(error, sent_time)), value > bound, concat('none delivered for ', toString(value), ' s; ', argMax(error, sent_time)), argMaxIf(http_status, sent_time, outcome = 'delivered') = 0, 'comes back, but nobody outside is told: set CHCTL_HEARTBEAT_URL', concat('comes back, delivered ', toString(value), ' s ago')) AS says,
        'Follow the hops: chctl doctor shows broker and Kafka table, dash_heartbeats where the last one stopped, then the log of the alert feeder' AS todo
    FROM dash_heartbeats
    WHERE sent_time > (now() - 86400)
);
