-- The node's readers of topics: how far behind, when they last asked, what they last complained of.
-- Grain: one row a Kafka table that reads. Read by: Pipeline health.
-- lag: messages behind the end of the topic, by librdkafka's statistics; NULL where the engine collects none (the
-- embedded one). last_error: of the last quarter of an hour, else empty.
CREATE VIEW IF NOT EXISTS dash_consumers AS
SELECT
    table,
    arrayStringConcat(arraySort(groupUniqArrayArray(assignments.topic)), ', ') AS topics,
    count() AS consumers,
    sum(length(assignments.topic)) AS partitions,
    sum(num_messages_read) AS messages_read,
    sum(num_commits) AS commits,
    dateDiff('second', max(last_poll_time), now()) AS seconds_since_poll,
    sumOrNull(if(rdkafka_stat = '', NULL, arraySum(topic -> arraySum(partition -> greatest(JSONExtractInt(partition.2, 'consumer_lag'), 0), JSONExtractKeysAndValuesRaw(topic.2, 'partitions')), JSONExtractKeysAndValuesRaw(rdkafka_stat, 'topics')))) AS lag,
    max(num_rebalance_assignments) AS rebalances,
    argMax(if(notEmpty(exceptions.time) AND (exceptions.time[-1] > (now() - INTERVAL 15 MINUTE)), exceptions.text[-1], ''), last_poll_time) AS last_error
FROM system.kafka_consumers
WHERE (database = currentDatabase()) AND (table LIKE 'kafka\\_%')
GROUP BY table;
