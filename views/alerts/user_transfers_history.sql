-- user_transfers under another name, for materialized views on user_transfers: there the table's own name is the
-- inserted block alone. Rows may repeat until merged.
CREATE VIEW IF NOT EXISTS user_transfers_history AS
SELECT *
FROM user_transfers;
