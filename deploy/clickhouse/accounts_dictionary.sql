-- The accounts of MongoDB inside a ClickHouse server, for rules and dashboards that group by tier or country:
-- dictGet('accounts', 'tier', user_id). The same collection that the alert feeder reads (CHCTL_MONGO_URI).
-- Not a migration: the embedded node has no MongoDB driver, so no test here loads it: try it on your server first.
-- The named collection `chctl_mongo` (host, port, user, password, db) stands in the server's config, so that no secret
-- is in DDL.
CREATE DICTIONARY IF NOT EXISTS accounts
(
    `user_id` UInt64,
    `tier` String DEFAULT '',
    `country` String DEFAULT '',
    `risk_policy` String DEFAULT ''
)
PRIMARY KEY user_id
SOURCE(MONGODB(NAME chctl_mongo COLLECTION 'accounts'))
LIFETIME(MIN 60 MAX 120)
LAYOUT(HASHED());
