-- Rollup of social_processed per minute. Ignores repeats: see social_1m.
CREATE MATERIALIZED VIEW IF NOT EXISTS social_1m_mv TO social_1m AS
SELECT
    arrayJoin(if(empty(symbols), [''], arrayDistinct(symbols))) AS symbol,
    source,
    toStartOfMinute(event_time) AS minute,
    groupUniqArrayState(CAST((cityHash64(event_id), processed_time, model, sentiment_score, sampled_weight, engagement, cityHash64(author_hash)), 'Tuple(id UInt64, processed_time DateTime64(3, \'UTC\'), model String, score Float32, weight Float32, engagement UInt64, author UInt64)')) AS ratings
FROM social_processed_landing
WHERE reject_reason = ''
GROUP BY
    symbol,
    source,
    minute;
