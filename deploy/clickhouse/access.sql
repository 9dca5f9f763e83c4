-- Who may do what on a ClickHouse server. Run by `chctl access apply`, as often as you like: it also takes new passwords.
-- $name stands for the SHA-256 of the password in the file `name` of CHCTL_SECRETS_DIR; a user without one is left out.
-- What a role is not granted it may not do: nobody but the migrator and the administrator changes a table.

-- --- limits: what one query and one user may cost. Made once, then set anew by each run: a limit changed here holds.

CREATE SETTINGS PROFILE IF NOT EXISTS chctl_reading;

ALTER SETTINGS PROFILE chctl_reading SETTINGS
    readonly = 2,
    max_execution_time = 60 MIN 1 MAX 600,
    max_memory_usage = 4000000000 MAX 8000000000,
    max_threads = 4 MAX 8,
    max_result_rows = 1000000 MAX 5000000,
    max_concurrent_queries_for_user = 20 CONST;

CREATE SETTINGS PROFILE IF NOT EXISTS chctl_dashboards;

-- A dashboard asks often and little; 15 seconds are an error, not a wait. readonly = 2: the plugin sends settings.
ALTER SETTINGS PROFILE chctl_dashboards SETTINGS
    readonly = 2,
    max_execution_time = 15 MAX 60,
    max_memory_usage = 2000000000 MAX 4000000000,
    max_threads = 2 MAX 4,
    max_result_rows = 200000 MAX 1000000,
    result_overflow_mode = 'break',
    max_concurrent_queries_for_user = 40 CONST;

CREATE QUOTA IF NOT EXISTS chctl_people;

ALTER QUOTA chctl_people
    KEYED BY user_name
    FOR INTERVAL 1 HOUR MAX queries = 2000, errors = 500, read_rows = 50000000000, execution_time = 3600;

-- --- roles

CREATE ROLE IF NOT EXISTS chctl_role_migrator;

CREATE ROLE IF NOT EXISTS chctl_role_feeder;

CREATE ROLE IF NOT EXISTS chctl_role_grafana SETTINGS PROFILE chctl_dashboards;

CREATE ROLE IF NOT EXISTS chctl_role_analyst SETTINGS PROFILE chctl_reading;

CREATE ROLE IF NOT EXISTS chctl_role_auditor SETTINGS PROFILE chctl_reading;

CREATE ROLE IF NOT EXISTS chctl_role_doctor SETTINGS PROFILE chctl_reading;

-- The migrator: everything inside the database, and what plan, drift and status read. No users, no other database.
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, DROP TABLE, DROP VIEW, DROP DICTIONARY, ALTER, SELECT, INSERT, OPTIMIZE, TRUNCATE, SHOW, dictGet, SYSTEM VIEWS ON chctl.* TO chctl_role_migrator;

GRANT SYSTEM RELOAD DICTIONARY ON *.* TO chctl_role_migrator;

-- Tables of Kafka's engine, by the one collection that names the broker; no other source.
GRANT READ, WRITE ON KAFKA TO chctl_role_migrator;

GRANT NAMED COLLECTION ON chctl_kafka TO chctl_role_migrator;

GRANT SELECT ON system.* TO chctl_role_migrator;

-- Feeders: the alert feeder's outbox, lease and records; the social feeder's symbol names, budget and ratings. Rows of
-- the market reach tables through Kafka: no feeder inserts them.
-- The alert feeder writes one alert itself: that no heartbeat comes back.
GRANT SELECT, INSERT ON chctl.alerts TO chctl_role_feeder;

GRANT SELECT ON chctl.alerts_open TO chctl_role_feeder;

GRANT SELECT ON chctl.alerts_held TO chctl_role_feeder;

GRANT SELECT ON chctl.alerts_due TO chctl_role_feeder;

GRANT dictGet ON chctl.alert_thresholds TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.alert_plans TO chctl_role_feeder;

GRANT SELECT ON chctl.alert_acks TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.alert_silences TO chctl_role_feeder;

GRANT SELECT ON chctl.rule_owners TO chctl_role_feeder;

GRANT SELECT ON chctl.symbol_aliases TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.social_spend TO chctl_role_feeder;

-- The message that an alert's trace begins with.
GRANT SELECT(venue, symbol, window_start, partition, offset, event_time, receive_time, ingest_time) ON chctl.book_deltas TO chctl_role_feeder;

GRANT SELECT(user_id, partition, offset, event_time, receive_time, ingest_time) ON chctl.user_orders TO chctl_role_feeder;

GRANT SELECT(user_id, partition, offset, event_time, receive_time, ingest_time) ON chctl.user_transfers TO chctl_role_feeder;

-- Ratings that were paid for, without the posts; posts that could not be rated.
GRANT SELECT(text_hash, model, sentiment_score, sentiment_label, confidence, tokens_count) ON chctl.social_buzz TO chctl_role_feeder;

GRANT INSERT ON chctl.rejected_events TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.alert_deliveries TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.alert_feeder_leases TO chctl_role_feeder;

GRANT SELECT, INSERT ON chctl.alert_feeder_beats TO chctl_role_feeder;

-- Grafana: the dash_ views, and the tables that they read on behalf of whoever asks.
GRANT SELECT ON chctl.dash_* TO chctl_role_grafana;

GRANT SELECT ON chctl.alert_acks TO chctl_role_grafana;

GRANT SELECT ON chctl.alert_deliveries TO chctl_role_grafana;

GRANT SELECT ON chctl.alerts TO chctl_role_grafana;

GRANT SELECT ON chctl.alerts_history TO chctl_role_grafana;

GRANT SELECT ON chctl.book_deltas TO chctl_role_grafana;

GRANT SELECT ON chctl.book_topn TO chctl_role_grafana;

GRANT SELECT ON chctl.frontend_actions TO chctl_role_grafana;

GRANT SELECT ON chctl.liquidity_1s TO chctl_role_grafana;

GRANT SELECT ON chctl.order_flow_1s TO chctl_role_grafana;

GRANT SELECT ON chctl.order_watch TO chctl_role_grafana;

GRANT SELECT ON chctl.rejected_events TO chctl_role_grafana;

GRANT SELECT ON chctl.rule_owners TO chctl_role_grafana;

GRANT SELECT ON chctl.social_1m TO chctl_role_grafana;

GRANT SELECT ON chctl.social_buzz TO chctl_role_grafana;

GRANT SELECT ON chctl.trades TO chctl_role_grafana;

GRANT SELECT ON chctl.trades_1s TO chctl_role_grafana;

GRANT SELECT ON chctl.transfers_1m TO chctl_role_grafana;

GRANT SELECT ON chctl.user_logins TO chctl_role_grafana;

GRANT SELECT ON chctl.user_orders TO chctl_role_grafana;

GRANT SELECT ON chctl.user_transfers TO chctl_role_grafana;

-- The health of the node: what dash_health and its like read of the server itself, for the tables of chctl alone.
GRANT SHOW TABLES, SHOW DICTIONARIES ON chctl.* TO chctl_role_grafana;

GRANT dictGet ON chctl.alert_thresholds TO chctl_role_grafana;

GRANT SELECT ON system.tables TO chctl_role_grafana;

GRANT SELECT ON system.parts TO chctl_role_grafana;

GRANT SELECT ON system.merges TO chctl_role_grafana;

GRANT SELECT ON system.disks TO chctl_role_grafana;

GRANT SELECT ON system.mutations TO chctl_role_grafana;

GRANT SELECT ON system.dictionaries TO chctl_role_grafana;

GRANT SELECT ON system.view_refreshes TO chctl_role_grafana;

GRANT SELECT ON system.kafka_consumers TO chctl_role_grafana;

GRANT SELECT ON system.merge_tree_settings TO chctl_role_grafana;

-- chctl doctor: reads everything of chctl and of the server, changes nothing.
GRANT SELECT, SHOW, dictGet ON chctl.* TO chctl_role_doctor;

GRANT SELECT ON system.* TO chctl_role_doctor;

-- Analysts: the market and the crowd, and orders and transfers without the columns that say whose they are.
GRANT SELECT ON chctl.trades TO chctl_role_analyst;

GRANT SELECT ON chctl.trades_1s TO chctl_role_analyst;

GRANT SELECT ON chctl.book_topn TO chctl_role_analyst;

GRANT SELECT ON chctl.book_deltas TO chctl_role_analyst;

GRANT SELECT ON chctl.liquidity_1s TO chctl_role_analyst;

GRANT SELECT ON chctl.social_buzz TO chctl_role_analyst;

GRANT SELECT ON chctl.social_1m TO chctl_role_analyst;

GRANT SELECT ON chctl.alerts TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_book TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_liquidity TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_trades TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_trades_1s TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_posts TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_sentiment TO chctl_role_analyst;

GRANT SELECT ON chctl.dash_feed_gaps TO chctl_role_analyst;

GRANT SELECT(event_time, user_tier, venue, symbol, order_id, action, side, type, price, quantity, filled_quantity, status, trade_id, liquidity, replaces_order_id, order_time, receive_time, ingest_time, partition, offset) ON chctl.user_orders TO chctl_role_analyst;

GRANT SELECT(event_time, user_tier, venue, action, asset, amount, status, receive_time, ingest_time, partition, offset) ON chctl.user_transfers TO chctl_role_analyst;

-- Auditors: all data and all settings, who asked what, who logged in; changes nothing.
GRANT SELECT ON chctl.* TO chctl_role_auditor;

GRANT SELECT ON system.query_log TO chctl_role_auditor;

GRANT SELECT ON system.session_log TO chctl_role_auditor;

GRANT SHOW ACCESS ON *.* TO chctl_role_auditor;

-- Who asked what, and what left the server: one row a finished or refused query of a person or a program.
-- `exported`: more than a screen, or written to a file, a table function or another server.
SYSTEM FLUSH LOGS;

CREATE DATABASE IF NOT EXISTS chctl_audit;

CREATE OR REPLACE VIEW chctl_audit.queries AS
SELECT
    event_time,
    user,
    client_hostname,
    address,
    http_user_agent,
    type,
    query_kind,
    tables,
    read_rows,
    result_rows,
    result_bytes,
    (result_rows > 10000) OR match(query, '(?i)INTO\\s+OUTFILE|INSERT\\s+INTO\\s+(TABLE\\s+)?FUNCTION|\\bBACKUP\\b') AS exported,
    exception_code,
    query
FROM system.query_log
WHERE (type != 'QueryStart') AND is_initial_query;

GRANT SELECT ON chctl_audit.queries TO chctl_role_auditor;

-- An analyst reads alerts about markets, not those about accounts.
CREATE ROW POLICY IF NOT EXISTS chctl_no_accounts ON chctl.alerts FOR SELECT USING user_id = 0 TO chctl_role_analyst;

ALTER ROW POLICY chctl_no_accounts ON chctl.alerts FOR SELECT USING user_id = 0 TO chctl_role_analyst;

-- --- users

CREATE USER IF NOT EXISTS chctl_migrator IDENTIFIED WITH sha256_hash BY '$chctl_migrator' DEFAULT DATABASE chctl;

ALTER USER chctl_migrator IDENTIFIED WITH sha256_hash BY '$chctl_migrator';

CREATE USER IF NOT EXISTS chctl_feeder IDENTIFIED WITH sha256_hash BY '$chctl_feeder' DEFAULT DATABASE chctl;

ALTER USER chctl_feeder IDENTIFIED WITH sha256_hash BY '$chctl_feeder';

CREATE USER IF NOT EXISTS chctl_grafana IDENTIFIED WITH sha256_hash BY '$chctl_grafana' DEFAULT DATABASE chctl;

ALTER USER chctl_grafana IDENTIFIED WITH sha256_hash BY '$chctl_grafana';

CREATE USER IF NOT EXISTS chctl_analyst IDENTIFIED WITH sha256_hash BY '$chctl_analyst' DEFAULT DATABASE chctl;

ALTER USER chctl_analyst IDENTIFIED WITH sha256_hash BY '$chctl_analyst';

CREATE USER IF NOT EXISTS chctl_auditor IDENTIFIED WITH sha256_hash BY '$chctl_auditor' DEFAULT DATABASE chctl;

ALTER USER chctl_auditor IDENTIFIED WITH sha256_hash BY '$chctl_auditor';

CREATE USER IF NOT EXISTS chctl_doctor IDENTIFIED WITH sha256_hash BY '$chctl_doctor' DEFAULT DATABASE chctl;

ALTER USER chctl_doctor IDENTIFIED WITH sha256_hash BY '$chctl_doctor';

GRANT chctl_role_doctor TO chctl_doctor;

GRANT chctl_role_migrator TO chctl_migrator;

GRANT chctl_role_feeder TO chctl_feeder;

GRANT chctl_role_grafana TO chctl_grafana;

GRANT chctl_role_analyst TO chctl_analyst;

GRANT chctl_role_auditor TO chctl_auditor;

ALTER QUOTA chctl_people TO chctl_analyst, chctl_auditor;
