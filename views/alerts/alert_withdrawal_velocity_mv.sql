-- Rule withdrawal_velocity: an account withdraws more often in an hour than it usually does in a day; or what it has just
-- deposited goes out again, nearly as it came, and that is either far more than the account usually moves at a time or done
-- repeatedly; or soon after a burst of failed logins.
-- People do deposit and withdraw on one day, by chance within minutes: amounts of their own that have nothing to do with
-- each other, or their usual amount. An account without three transfers in the week before has no usual amount.
-- Grain: one signal a (user_id, second). Baseline: withdrawals on the account's usual day, and its median transfer of the
-- asset, of the week before.
-- Parameters (alert_rules; scope 'tier:<tier>', then '*'): enabled; min_value (withdrawals in the hour); own_factor (over
-- the usual day); min_amount (units of the asset: below it the two "soon after" cases are left alone); after_deposit_s,
-- deposit_share (of the deposit that goes out, and of what goes out that was deposited), amount_factor (over the median
-- transfer), repeats (times in the week that a withdrawal followed a deposit like that); after_login_s and failed_logins; and persist_signals, persist_s, resolve_s, max_age_s (alerts_fired_mv).
-- Cost: none of its own; see withdrawal_moves_mv.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_withdrawal_velocity_mv TO alert_signals AS
SELECT
    'withdrawal_velocity' AS rule,
    'critical' AS severity,
    concat('user:', toString(user_id)) AS entity,
    venue,
    '' AS symbol,
    user_id,
    toDateTime(event_time, 'UTC') AS second,
    value,
    baseline,
    threshold,
    concat(entity, ': ', multiIf(too_many, concat(toString(value), ' withdrawals in an hour, usually ', toString(round(baseline, 1)), ' a day'), after_deposit, concat('withdraws ', toString(round(withdrawn, 2)), ' ', asset, ' soon after depositing ', toString(round(deposited, 2))), concat('withdraws ', toString(amount), ' ', asset, ' soon after ', toString(failures_before), ' failed logins'))) AS summary,
    toJSONString(map('event_id', event_id, 'withdrawals_in_hour', toString(value), 'failed_logins', toString(failures_before), 'deposited', toString(deposited), 'withdrawn', toString(withdrawn), 'usual_amount', toString(usual_amount), 'times_through', toString(times_through), 'event_ids', toString(arraySlice(withdrawal_ids, 1, 20)), 'deposit_event_ids', toString(arraySlice(deposit_ids, 1, 20)))) AS evidence
FROM
(
    SELECT
        *,
        toFloat64(in_hour_count) AS value,
        usual_a_day AS baseline,
        greatest(min_value, own_factor * usual_a_day) AS threshold,
        in_hour_count >= greatest(min_value, own_factor * usual_a_day) AS too_many,
        (withdrawn >= min_amount) AND (withdrawn >= (deposit_share * deposited)) AND (deposited >= (deposit_share * withdrawn)) AND ((withdrawn >= (amount_factor * usual_amount)) OR (times_through >= repeats)) AS after_deposit,
        (amount >= min_amount) AND (failures_before >= failed_logins) AS after_failures
    FROM withdrawal_figures
)
WHERE too_many OR after_deposit OR after_failures;
