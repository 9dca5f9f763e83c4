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
-- Cost: a week of the withdrawing accounts' own transfers, an hour of their logins.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_withdrawal_velocity_mv TO alert_signals AS
WITH
    candidates AS
    (
        SELECT
            user_id,
            event_id,
            event_time,
            venue,
            user_tier,
            asset,
            amount,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'min_value'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'min_value'))) AS min_value,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'own_factor'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'own_factor'))) AS own_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'min_amount'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'min_amount'))) AS min_amount,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'after_deposit_s'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'after_deposit_s'))) AS after_deposit_s,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'deposit_share'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'deposit_share'))) AS deposit_share,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'amount_factor'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'amount_factor'))) AS amount_factor,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'repeats'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'repeats'))) AS repeats,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'after_login_s'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'after_login_s'))) AS after_login_s,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'failed_logins'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'failed_logins'))) AS failed_logins,
            dictGetOrDefault('alert_thresholds', 'value', ('withdrawal_velocity', concat('tier:', user_tier), 'enabled'), dictGet('alert_thresholds', 'value', ('withdrawal_velocity', '*', 'enabled'))) AS enabled
        FROM withdrawing_transfers
        WHERE (action = 'withdrawal') AND (enabled > 0)
    ),
    moves AS
    (
        SELECT
            user_id,
            arraySort(groupUniqArray((event_time, action, asset, amount, event_id))) AS events
        FROM
        (
            SELECT
                user_id,
                event_time,
                action,
                asset,
                amount,
                event_id
            FROM withdrawing_transfers
            UNION ALL
            SELECT
                user_id,
                event_time,
                action,
                asset,
                amount,
                event_id
            FROM user_transfers
            WHERE (user_id IN (SELECT user_id FROM candidates))
                AND (event_time > (SELECT min(event_time) - INTERVAL 7 DAY FROM candidates)) AND (event_time <= (SELECT max(event_time) FROM candidates))
        )
        GROUP BY user_id
    ),
    failures AS
    (
        SELECT
            user_id,
            groupUniqArray(event_time) AS failed
        FROM user_logins
        WHERE (user_id IN (SELECT user_id FROM candidates)) AND (action = 'login_failed')
            AND (event_time > (SELECT min(event_time) - INTERVAL 1 HOUR FROM candidates)) AND (event_time <= (SELECT max(event_time) FROM candidates))
        GROUP BY user_id
    )
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
    toJSONString(map('event_id', event_id, 'withdrawals_in_hour', toString(value), 'failed_logins', toString(failures_before), 'deposited', toString(deposited), 'withdrawn', toString(withdrawn), 'usual_amount', toString(usual_amount), 'times_through', toString(times_through), 'event_ids', toString(arraySlice(arrayMap(x -> x.5, in_hour), 1, 20)), 'deposit_event_ids', toString(arraySlice(deposit_ids, 1, 20)))) AS evidence
FROM
(
    SELECT
        *,
        arrayFilter(x -> ((x.2 = 'withdrawal') AND (x.1 <= event_time) AND (x.1 > (event_time - INTERVAL 1 HOUR))), events) AS in_hour,
        toFloat64(length(in_hour)) AS value,
        arrayCount(x -> ((x.2 = 'withdrawal') AND (x.1 <= (event_time - INTERVAL 1 HOUR))), events) / greatest(1, arrayUniq(arrayMap(x -> toDate(x.1), arrayFilter(x -> (x.1 <= (event_time - INTERVAL 1 HOUR)), events)))) AS baseline,
        greatest(min_value, own_factor * baseline) AS threshold,
        arraySum(x -> x.4, arrayFilter(x -> ((x.2 = 'deposit') AND (x.3 = asset) AND (x.1 <= event_time) AND (x.1 > (event_time - toIntervalSecond(toUInt32(after_deposit_s))))), events)) AS deposited,
        arrayMap(x -> x.5, arrayFilter(x -> ((x.2 = 'deposit') AND (x.3 = asset) AND (x.1 <= event_time) AND (x.1 > (event_time - toIntervalSecond(toUInt32(after_deposit_s))))), events)) AS deposit_ids,
        arrayCount(x -> ((x <= event_time) AND (x > (event_time - toIntervalSecond(toUInt32(after_login_s))))), failed) AS failures_before,
        arraySum(x -> x.4, arrayFilter(x -> ((x.2 = 'withdrawal') AND (x.3 = asset) AND (x.1 <= event_time) AND (x.1 > (event_time - toIntervalSecond(toUInt32(after_deposit_s))))), events)) AS withdrawn,
        arrayMap(x -> x.4, arrayFilter(x -> ((x.3 = asset) AND (x.1 <= (event_time - toIntervalSecond(toUInt32(after_deposit_s))))), events)) AS amounts_before,
        if(length(amounts_before) >= 3, arrayReduce('median', amounts_before), 0) AS usual_amount,
        arrayCount((x, y) -> ((x.2 = 'withdrawal') AND (x.3 = asset) AND (x.4 >= min_amount) AND (x.1 <= event_time) AND (y.2 = 'deposit') AND (y.3 = asset) AND (y.1 > (x.1 - toIntervalSecond(toUInt32(after_deposit_s)))) AND (x.4 >= (deposit_share * y.4)) AND (y.4 >= (deposit_share * x.4))), events, arrayPushFront(arrayPopBack(events), events[1])) AS times_through,
        value >= threshold AS too_many,
        (withdrawn >= min_amount) AND (withdrawn >= (deposit_share * deposited)) AND (deposited >= (deposit_share * withdrawn)) AND ((withdrawn >= (amount_factor * usual_amount)) OR (times_through >= repeats)) AS after_deposit,
        (amount >= min_amount) AND (failures_before >= failed_logins) AS after_failures
    FROM
    (
        SELECT
            known.*,
            failed
        FROM
        (
            SELECT
                candidates.*,
                events
            FROM candidates
            INNER JOIN moves USING (user_id)
        ) AS known
        LEFT JOIN failures USING (user_id)
    )
)
WHERE too_many OR after_deposit OR after_failures;
