-- Words for the base assets that posts are about. DBAs edit rows; the social feeder and the collectors read them anew
-- every minute.
-- Grain: one row an alias, the latest wins; enabled = 0 takes it away. An ambiguous alias ("near", "link") counts only
-- in capitals and beside other evidence of crypto; as cashtag ($NEAR) or pair (NEAR/USDT) it always counts.
CREATE TABLE IF NOT EXISTS symbol_aliases
(
    `alias` String COMMENT 'word or words, case does not matter',
    `symbol` LowCardinality(String) COMMENT 'base asset, such as BTC',
    `ambiguous` Bool DEFAULT false COMMENT 'also an everyday word',
    `enabled` Bool DEFAULT true COMMENT 'false takes the alias away',
    `updated_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the latest row wins',
    `updated_by` String DEFAULT currentUser() COMMENT 'who',
    `note` String COMMENT 'why'
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY alias;

-- not idempotent: the same aliases with the same updated_time replace themselves
INSERT INTO symbol_aliases (alias, symbol, ambiguous, updated_time, updated_by) VALUES
    ('btc', 'BTC', false, '2026-01-01 00:00:00', 'chctl'),
    ('xbt', 'BTC', false, '2026-01-01 00:00:00', 'chctl'),
    ('bitcoin', 'BTC', false, '2026-01-01 00:00:00', 'chctl'),
    ('eth', 'ETH', false, '2026-01-01 00:00:00', 'chctl'),
    ('ether', 'ETH', true, '2026-01-01 00:00:00', 'chctl'),
    ('ethereum', 'ETH', false, '2026-01-01 00:00:00', 'chctl'),
    ('weth', 'ETH', false, '2026-01-01 00:00:00', 'chctl'),
    ('sol', 'SOL', true, '2026-01-01 00:00:00', 'chctl'),
    ('solana', 'SOL', false, '2026-01-01 00:00:00', 'chctl'),
    ('xrp', 'XRP', false, '2026-01-01 00:00:00', 'chctl'),
    ('ripple', 'XRP', true, '2026-01-01 00:00:00', 'chctl'),
    ('bnb', 'BNB', true, '2026-01-01 00:00:00', 'chctl'),
    ('ada', 'ADA', true, '2026-01-01 00:00:00', 'chctl'),
    ('cardano', 'ADA', false, '2026-01-01 00:00:00', 'chctl'),
    ('doge', 'DOGE', false, '2026-01-01 00:00:00', 'chctl'),
    ('dogecoin', 'DOGE', false, '2026-01-01 00:00:00', 'chctl'),
    ('shib', 'SHIB', false, '2026-01-01 00:00:00', 'chctl'),
    ('shiba inu', 'SHIB', true, '2026-01-01 00:00:00', 'chctl'),
    ('avax', 'AVAX', false, '2026-01-01 00:00:00', 'chctl'),
    ('avalanche', 'AVAX', true, '2026-01-01 00:00:00', 'chctl'),
    ('dot', 'DOT', true, '2026-01-01 00:00:00', 'chctl'),
    ('polkadot', 'DOT', false, '2026-01-01 00:00:00', 'chctl'),
    ('link', 'LINK', true, '2026-01-01 00:00:00', 'chctl'),
    ('chainlink', 'LINK', false, '2026-01-01 00:00:00', 'chctl'),
    ('near', 'NEAR', true, '2026-01-01 00:00:00', 'chctl'),
    ('near protocol', 'NEAR', false, '2026-01-01 00:00:00', 'chctl'),
    ('ltc', 'LTC', false, '2026-01-01 00:00:00', 'chctl'),
    ('litecoin', 'LTC', false, '2026-01-01 00:00:00', 'chctl'),
    ('trx', 'TRX', false, '2026-01-01 00:00:00', 'chctl'),
    ('tron', 'TRX', true, '2026-01-01 00:00:00', 'chctl'),
    ('matic', 'POL', false, '2026-01-01 00:00:00', 'chctl'),
    ('polygon', 'POL', true, '2026-01-01 00:00:00', 'chctl'),
    ('pol', 'POL', true, '2026-01-01 00:00:00', 'chctl'),
    ('arb', 'ARB', true, '2026-01-01 00:00:00', 'chctl'),
    ('arbitrum', 'ARB', false, '2026-01-01 00:00:00', 'chctl'),
    ('op', 'OP', true, '2026-01-01 00:00:00', 'chctl'),
    ('atom', 'ATOM', true, '2026-01-01 00:00:00', 'chctl'),
    ('ton', 'TON', true, '2026-01-01 00:00:00', 'chctl'),
    ('toncoin', 'TON', false, '2026-01-01 00:00:00', 'chctl'),
    ('sui', 'SUI', true, '2026-01-01 00:00:00', 'chctl'),
    ('apt', 'APT', true, '2026-01-01 00:00:00', 'chctl'),
    ('aptos', 'APT', false, '2026-01-01 00:00:00', 'chctl'),
    ('uni', 'UNI', true, '2026-01-01 00:00:00', 'chctl'),
    ('uniswap', 'UNI', false, '2026-01-01 00:00:00', 'chctl'),
    ('aave', 'AAVE', false, '2026-01-01 00:00:00', 'chctl'),
    ('pepe', 'PEPE', true, '2026-01-01 00:00:00', 'chctl'),
    ('luna', 'LUNA', true, '2026-01-01 00:00:00', 'chctl'),
    ('ftt', 'FTT', false, '2026-01-01 00:00:00', 'chctl'),
    ('usdt', 'USDT', false, '2026-01-01 00:00:00', 'chctl'),
    ('tether', 'USDT', true, '2026-01-01 00:00:00', 'chctl'),
    ('usdc', 'USDC', false, '2026-01-01 00:00:00', 'chctl'),
    ('xmr', 'XMR', false, '2026-01-01 00:00:00', 'chctl'),
    ('monero', 'XMR', false, '2026-01-01 00:00:00', 'chctl');
