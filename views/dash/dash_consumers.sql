-- Kafka tables that read: do they poll, hold partitions, fall behind, fail?
-- Grain: one row a table. Read by: dash_health, Pipeline health.
-- silent_s: since the last poll of the slowest consumer, NULL where none ever polled since the server started.
-- lag: messages behind the end of the topic, by librdkafka's statistics; NULL where the engine collects none (the
-- embedded one). recent_errors: of the last five minutes; last_error: of the last quarter of an hour, else empty.
CREATE VIEW IF NOT EXISTS dash_consumers AS
SELECT
    tables.name AS name,
    consumers.topics AS topics,
    consumers.consumers AS consumers,
    consumers.partitions AS partitions,
    if(toUnixTimestamp(consumers.last_poll) = 0, NULL, dateDiff('second', consumers.last_poll, now())) AS silent_s,
    consumers.lag AS lag,
    consumers.messages_read AS messages_read,
    consumers.recent_errors AS recent_errors,
    consumers.last_error AS last_error
FROM
(
    SELECT name
    FROM system.tables
    WHERE (database = currentDatabase()) AND (engine = 'Kafka') AND startsWith(name, 'kafka_')
) AS tables
LEFT JOIN
(
    SELECT
        table,
        arrayStringConcat(arraySort(groupUniqArrayArray(`assignments.topic`)), ', ') AS topics,
        count() AS consumers,
        sum(length(`assignments.topic`)) AS partitions,
        min(last_poll_time) AS last_poll,
        sumOrNull(if(rdkafka_stat = '', NULL, arraySum(topic -> arraySum(partition -> greatest(JSONExtractInt(partition.2, 'consumer_lag'), 0), JSONExtractKeysAndValuesRaw(topic.2, 'partitions')), JSONExtractKeysAndValuesRaw(rdkafka_stat, 'topics')))) AS lag,
        sum(num_messages_read) AS messages_read,
        sum(arrayCount(x -> (x > (now() - 300)), `exceptions.time`)) AS recent_errors,
        argMax(if(notEmpty(`exceptions.time`) AND ((`exceptions.time`[-1]) > (now() - 900)), splitByString(', Stack trace', `exceptions.text`[-1])[1], ''), arrayMax(arrayConcat([toDateTime(0)], `exceptions.time`))) AS last_error
    FROM system.kafka_consumers
    WHERE database = currentDatabase()
    GROUP BY table
) AS consumers ON consumers.table = tables.name;
