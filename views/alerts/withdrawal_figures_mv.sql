-- What the moves around a withdrawal come to. Grain: one withdrawal. Fills withdrawal_figures.
-- `times_through` counts, in the week, withdrawals that followed a deposit of about their amount within after_deposit_s.
CREATE MATERIALIZED VIEW IF NOT EXISTS withdrawal_figures_mv TO withdrawal_figures AS
SELECT
    user_id,
    event_id,
    event_time,
    venue,
    asset,
    amount,
    min_value,
    own_factor,
    min_amount,
    deposit_share,
    amount_factor,
    repeats,
    failed_logins,
    length(in_hour) AS in_hour_count,
    arrayCount(x -> (x.2 = 'withdrawal'), before_hour) / greatest(1, arrayUniq(arrayMap(x -> toDate(x.1), before_hour))) AS usual_a_day,
    arraySum(x -> x.4, deposits) AS deposited,
    arraySum(x -> x.4, withdrawals) AS withdrawn,
    if(length(amounts_before) >= 3, arrayReduce('median', amounts_before), 0) AS usual_amount,
    times_through,
    arrayCount(x -> ((x <= event_time) AND (x > login_since)), failed) AS failures_before,
    arrayMap(x -> x.5, in_hour) AS withdrawal_ids,
    arrayMap(x -> x.5, deposits) AS deposit_ids
FROM
(
    SELECT
        *,
        arrayFilter(x -> ((x.2 = 'withdrawal') AND (x.1 <= event_time) AND (x.1 > hour_since)), events) AS in_hour,
        arrayFilter(x -> (x.1 <= hour_since), events) AS before_hour,
        arrayFilter(x -> ((x.2 = 'deposit') AND (x.3 = asset) AND (x.1 <= event_time) AND (x.1 > deposit_since)), events) AS deposits,
        arrayFilter(x -> ((x.2 = 'withdrawal') AND (x.3 = asset) AND (x.1 <= event_time) AND (x.1 > deposit_since)), events) AS withdrawals,
        arrayMap(x -> x.4, arrayFilter(x -> ((x.3 = asset) AND (x.1 <= deposit_since)), events)) AS amounts_before,
        arrayCount((x, y) -> ((x.2 = 'withdrawal') AND (x.3 = asset) AND (x.4 >= min_amount) AND (x.1 <= event_time) AND (y.2 = 'deposit') AND (y.3 = asset) AND (y.1 > (x.1 - toIntervalSecond(toUInt32(after_deposit_s)))) AND (x.4 >= (deposit_share * y.4)) AND (y.4 >= (deposit_share * x.4))), events, arrayPushFront(arrayPopBack(events), events[1])) AS times_through
    FROM withdrawal_moves
);
