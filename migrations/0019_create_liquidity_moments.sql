-- The seconds of a book that have a depth sample, on their way to the rules about depth; stores nothing.
-- Planning a rule costs more than running it: behind this table it is planned once a second and book, not once a block.
CREATE TABLE IF NOT EXISTS liquidity_moments
(
    `venue` LowCardinality(String) COMMENT 'exchange and market',
    `symbol` LowCardinality(String) COMMENT 'the venue''s own name of the pair',
    `second` DateTime('UTC') COMMENT 'event time'
)
ENGINE = Null;
