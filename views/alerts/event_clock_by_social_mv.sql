-- Any post moves the clock of the rules about posts. Grain: one row a block; see event_clock.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_clock_by_social_mv TO event_clock AS
SELECT
    'social' AS stream,
    quantileExact(0.5)(minute) AS event_time
FROM social_1m
HAVING count() > 0;
