-- Any account's event moves the clock of the rules about accounts. Grain: one row a block; see event_clock.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_clock_by_orders_mv TO event_clock AS
SELECT
    'user' AS stream,
    quantileExact(0.5)(event_time) AS event_time
FROM user_actions_landing
HAVING count() > 0;
