-- A stored post knows its symbol as the stream names it, so that `chctl rebuild social_1m` can read posts from here.
ALTER TABLE social_buzz
    ADD COLUMN IF NOT EXISTS `symbols` Array(String) ALIAS if(symbol = '', [], [toString(symbol)]) COMMENT 'the one of this row';
