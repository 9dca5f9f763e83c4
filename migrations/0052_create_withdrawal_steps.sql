-- Two more steps of rule withdrawal_velocity, for the reason of 0029: in one view the rule took 560 ms a block to analyse, in
-- three it takes 40. What a view reads is hashed with every expression over it, so expressions belong over small tables.

-- withdrawal_moves: grain: one withdrawal of the block, with its account's week. Read by withdrawal_figures_mv alone.
CREATE TABLE IF NOT EXISTS withdrawal_moves
(
    `user_id` UInt64,
    `event_id` String,
    `event_time` DateTime64(3, 'UTC'),
    `venue` LowCardinality(String),
    `user_tier` LowCardinality(String),
    `asset` LowCardinality(String),
    `amount` Float64,
    `min_value` Float64,
    `own_factor` Float64,
    `min_amount` Float64,
    `after_deposit_s` Float64,
    `deposit_share` Float64,
    `amount_factor` Float64,
    `repeats` Float64,
    `after_login_s` Float64,
    `failed_logins` Float64,
    `times` Array(DateTime64(3, 'UTC')) COMMENT 'transfers of the week, by time: event_time',
    `leaves` Array(Bool) COMMENT 'of each: a withdrawal, not a deposit',
    `assets` Array(LowCardinality(String)) COMMENT 'of each',
    `amounts` Array(Float64) COMMENT 'of each, in units of its asset',
    `ids` Array(String) COMMENT 'of each: event_id',
    `failed` Array(DateTime64(3, 'UTC')) COMMENT 'failed logins of the hour',
    `hour_since` DateTime64(3, 'UTC') COMMENT 'an hour before the withdrawal',
    `deposit_since` DateTime64(3, 'UTC') COMMENT 'after_deposit_s before it',
    `login_since` DateTime64(3, 'UTC') COMMENT 'after_login_s before it'
)
ENGINE = Null;

-- withdrawal_figures: grain: one withdrawal of the block. Read by alert_withdrawal_velocity_mv alone.
CREATE TABLE IF NOT EXISTS withdrawal_figures
(
    `user_id` UInt64,
    `event_id` String,
    `event_time` DateTime64(3, 'UTC'),
    `venue` LowCardinality(String),
    `asset` LowCardinality(String),
    `amount` Float64,
    `min_value` Float64,
    `own_factor` Float64,
    `min_amount` Float64,
    `deposit_share` Float64,
    `amount_factor` Float64,
    `repeats` Float64,
    `failed_logins` Float64,
    `in_hour_count` UInt64 COMMENT 'withdrawals in the hour up to it',
    `usual_a_day` Float64 COMMENT 'withdrawals on a day with transfers, before that hour',
    `deposited` Float64 COMMENT 'of its asset, within after_deposit_s',
    `withdrawn` Float64 COMMENT 'the same',
    `usual_amount` Float64 COMMENT 'median transfer of its asset before that, 0 where there are less than three',
    `times_through` UInt64 COMMENT 'withdrawals of the week that followed a deposit of about their amount',
    `failures_before` UInt64 COMMENT 'failed logins within after_login_s',
    `withdrawal_ids` Array(String),
    `deposit_ids` Array(String)
)
ENGINE = Null;
