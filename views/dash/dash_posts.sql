-- The posts themselves, each once, redacted, with their rating.
-- Grain: one row a (post, symbol). Read by: the Social dashboard, analysts behind an alert.
CREATE VIEW IF NOT EXISTS dash_posts AS
SELECT
    event_time,
    symbol,
    source,
    text,
    sentiment_score,
    sentiment_label,
    confidence,
    engagement,
    model,
    sampled_weight,
    event_id,
    text_hash
FROM social_buzz
FINAL;
