-- Moments at which a book became unknown, and why. Grain: one row a gap. Read by: Pipeline health.
CREATE VIEW IF NOT EXISTS dash_feed_gaps AS
SELECT
    event_time,
    venue,
    symbol,
    reason,
    expected_seq,
    received_seq
FROM book_deltas
FINAL
WHERE update_type = 'gap';
