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
    length(withdrawal_ids) AS in_hour_count,
    arrayCount((t, w) -> (w AND (t <= hour_since)), times, leaves) / greatest(1, arrayUniq(arrayMap(t -> toDate(t), arrayFilter(t -> (t <= hour_since), times)))) AS usual_a_day,
    arraySum((v, t, w, a) -> if((NOT w) AND (a = asset) AND (t <= event_time) AND (t > deposit_since), v, 0), amounts, times, leaves, assets) AS deposited,
    arraySum((v, t, w, a) -> if(w AND (a = asset) AND (t <= event_time) AND (t > deposit_since), v, 0), amounts, times, leaves, assets) AS withdrawn,
    if(length(amounts_before) >= 3, arrayReduce('median', amounts_before), 0) AS usual_amount,
    times_through,
    arrayCount(x -> ((x <= event_time) AND (x > login_since)), failed) AS failures_before,
    withdrawal_ids,
    arrayFilter((i, t, w, a) -> ((NOT w) AND (a = asset) AND (t <= event_time) AND (t > deposit_since)), ids, times, leaves, assets) AS deposit_ids
FROM
(
    SELECT
        *,
        arrayFilter((i, t, w) -> (w AND (t <= event_time) AND (t > hour_since)), ids, times, leaves) AS withdrawal_ids,
        arrayFilter((v, t, a) -> ((a = asset) AND (t <= deposit_since)), amounts, times, assets) AS amounts_before,
        arrayCount((t, w, a, v, t0, w0, a0, v0) -> (w AND (a = asset) AND (v >= min_amount) AND (t <= event_time) AND (NOT w0) AND (a0 = asset) AND (t0 > (t - toIntervalSecond(toUInt32(after_deposit_s)))) AND (v >= (deposit_share * v0)) AND (v0 >= (deposit_share * v))), times, leaves, assets, amounts, arrayPushFront(arrayPopBack(times), times[1]), arrayPushFront(arrayPopBack(leaves), leaves[1]), arrayPushFront(arrayPopBack(assets), assets[1]), arrayPushFront(arrayPopBack(amounts), amounts[1])) AS times_through
    FROM withdrawal_moves
);
