-- The accounts of MongoDB inside a ClickHouse server, for rules and dashboards that group by tier or country:
-- dictGet('accounts', 'tier', user_id). The same collection that the alert feeder reads (CHCTL_MONGO_URI).
-- Grain: one account. Read by nobody yet.
-- Not a migration: the embedded node is built without MongoDB. It takes the definition, which the tests try, and refuses to
-- read by it. On a server: optional/mongo.xml into config.d, then this, as administrator.
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
