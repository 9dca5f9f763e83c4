-- user_orders under another name, for materialized views on user_orders: there the table's own name is the inserted
-- block alone. Rows may repeat until merged: take them once with LIMIT 1 BY event_id.
CREATE VIEW IF NOT EXISTS user_orders_history AS
SELECT *
FROM user_orders;
