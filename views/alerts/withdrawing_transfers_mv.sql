-- The block's transfers of accounts that withdraw in it. Grain: one transfer. Fills withdrawing_transfers: most blocks have
-- none, and then the views behind it are not even planned.
CREATE MATERIALIZED VIEW IF NOT EXISTS withdrawing_transfers_mv TO withdrawing_transfers AS
SELECT
    event_id,
    event_time,
    user_id,
    user_tier,
    venue,
    action,
    asset,
    amount
FROM user_transfers
WHERE user_id IN (SELECT user_id FROM user_transfers WHERE action = 'withdrawal');
