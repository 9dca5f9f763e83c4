"""What operations does with alerts: look, acknowledge, silence, resolve, test, count. Behind `chctl alerts`."""

from __future__ import annotations

import secrets
import time
from typing import Any, get_args

import msgspec
from clickhouse_connect.driver.client import Client

from chctl.answers import Row, select
from feeders.alerting.model import Alert, Severity
from feeders.alerting.routing import FIELDS, Routing, seconds

#: The rule of the alerts that `chctl alerts test` raises; the feeder sends them to the channel they name.
TEST_RULE = "channel_test"


#: The fields of alerts_history.attempts.
_ATTEMPT = (
    "time",
    "status",
    "channel",
    "step",
    "attempt",
    "outcome",
    "http_status",
    "error",
    "latency_ms",
    "idempotency_key",
)


class UsageError(ValueError):
    """What was asked for cannot be; the text says what can."""


def listed(client: Client, *, everything: bool = False, limit: int = 100) -> list[Row]:
    """Open alerts, newest first, with who took them on and which silence holds them; or the latest of all."""
    if everything:
        return select(
            client,
            """
            SELECT
                alert_id, severity, rule, entity, raised_time, resolved_time, summary, owner,
                dateDiff('second', alerts_history.raised_time, now64(3)) AS age_s,
                if(empty(acknowledgements), '', acknowledgements[1].2) AS acked_by,
                delivered, failed
            FROM alerts_history
            WHERE rule != 'heartbeat'
            ORDER BY raised_time DESC
            LIMIT {limit:UInt32}
            """,
            limit=limit,
        )
    return select(
        client,
        """
        SELECT
            alert_id, severity, rule, entity, venue, symbol, user_id, started_time, event_time, raised_time, summary,
            acked_by, countEqual(pages.5, 'delivered') AS told, reason AS silenced,
            dateDiff('second', alerts_open.raised_time, now64(3)) AS age_s
        FROM alerts_open
        LEFT JOIN alerts_held USING (alert_id)
        ORDER BY raised_time DESC
        LIMIT {limit:UInt32}
        """,
        limit=limit,
    )


def shown(client: Client, alert_id: str) -> Row:
    """Everything on record about one alert; the id may be cut short as long as it names one. Raises UsageError."""
    full = resolve_id(client, alert_id)
    (row,) = select(client, "SELECT * FROM alerts_history WHERE alert_id = {alert_id:String}", alert_id=full)
    row["attempts"] = [dict(zip(_ATTEMPT, attempt, strict=True)) for attempt in row["attempts"]]
    row["acknowledgements"] = [dict(zip(("time", "by", "note"), ack, strict=True)) for ack in row["acknowledgements"]]
    return row


def resolve_id(client: Client, alert_id: str) -> str:
    """The whole alert_id of a beginning of one. Raises UsageError when it names none or several."""
    rows = select(
        client,
        "SELECT DISTINCT alert_id FROM alerts WHERE startsWith(alert_id, {start:String}) LIMIT 3",
        start=alert_id,
    )
    if len(rows) == 1 or any(row["alert_id"] == alert_id for row in rows):
        return alert_id if len(rows) > 1 else str(rows[0]["alert_id"])
    if rows:
        raise UsageError(f"{alert_id} is the beginning of several alerts: give more of it")
    raise UsageError(f"no alert begins with {alert_id!r}: see `chctl alerts list --all`")


def acknowledge(client: Client, alert_id: str, by: str, note: str) -> str:
    """Put on record that somebody took an alert on: its repeats and escalation stop. Returns the whole alert_id."""
    full = resolve_id(client, alert_id)
    client.insert(
        "alert_acks", [[full, by, note]], column_names=["alert_id", "acked_by", "note"], settings={"async_insert": 0}
    )
    return full


def resolve(client: Client, alert_id: str, by: str, why: str) -> str:
    """Resolve an open alert by hand, on record and by the usual way to every channel. Returns the whole alert_id."""
    full = resolve_id(client, alert_id)
    evidence = msgspec.json.encode({"resolved_by": by, "why": why}).decode()
    if not select(client, "SELECT 1 FROM alerts_open WHERE alert_id = {alert_id:String}", alert_id=full):
        raise UsageError(f"{full} does not fire")
    client.command(
        """
        INSERT INTO alerts
        (
            alert_id, rule, severity, status, entity, venue, symbol, user_id, started_time, event_time,
            value, baseline, threshold, summary, evidence
        )
        SELECT
            alert_id, rule, severity, 'resolved', entity, venue, symbol, user_id, started_time, event_time,
            value, baseline, threshold, {summary:String}, {evidence:String}
        FROM alerts FINAL
        WHERE (alert_id = {alert_id:String}) AND (status = 'firing')
        """,
        parameters={"alert_id": full, "summary": f"resolved by {by}: {why}", "evidence": evidence},
    )
    return full


def silence(
    client: Client,
    matchers: list[str],
    *,
    lasts: str,
    why: str,
    who: str,
    maintenance: bool = False,
    starts: str = "",
) -> str:
    """Hold back the pages of alerts that fit all `matchers` ("symbol=BTC*"). Returns the silence_id.

    `lasts` and `starts` (from now) are lengths of time such as 2h. Raises UsageError.
    """
    parsed = parse_matchers(matchers)
    if not parsed and not maintenance:
        raise UsageError("name at least one matcher such as rule=liquidity_drop; only --maintenance may silence all")
    length, delay = _duration(lasts), _duration(starts) if starts else 0.0
    if length <= 0:
        raise UsageError("a silence needs a length: --for 2h")
    if not why.strip():
        raise UsageError("say why, for whoever wonders at three in the morning: --why TEXT")
    silence_id = secrets.token_hex(3)
    client.command(
        """
        INSERT INTO alert_silences (silence_id, kind, matchers, starts_time, ends_time, why, who)
        SELECT
            {silence_id:String}, {kind:String}, mapFromArrays({fields:Array(String)}, {globs:Array(String)}),
            now64(3) + toIntervalMillisecond({delay:UInt64}),
            now64(3) + toIntervalMillisecond({ends:UInt64}), {why:String}, {who:String}
        """,
        parameters={
            "silence_id": silence_id,
            "kind": "maintenance" if maintenance else "silence",
            "fields": list(parsed),
            "globs": list(parsed.values()),
            "delay": int(delay * 1000),
            "ends": int((delay + length) * 1000),
            "why": why.strip(),
            "who": who,
        },
    )
    return silence_id


def lift(client: Client, silence_id: str, who: str) -> None:
    """End a silence now. Raises UsageError when there is none of that name."""
    found = select(client, "SELECT 1 FROM alert_silences WHERE silence_id = {id:String} LIMIT 1", id=silence_id)
    if not found:
        raise UsageError(f"no silence is called {silence_id!r}: see `chctl alerts silence --list`")
    client.command(
        """
        INSERT INTO alert_silences (silence_id, kind, matchers, starts_time, ends_time, why, who)
        SELECT
            silence_id, kind, matchers, least(starts_time, now64(3)), now64(3),
            concat(why, ' (lifted by ', {who:String}, ')'), who
        FROM alert_silences FINAL
        WHERE silence_id = {id:String}
        """,
        parameters={"id": silence_id, "who": who},
    )


def silences(client: Client) -> list[Row]:
    """Silences and maintenance windows in force or to come, the first to end first."""
    return select(
        client,
        """
        SELECT silence_id, kind, matchers, starts_time, ends_time, why, who
        FROM alert_silences FINAL
        WHERE alert_silences.ends_time > now64(3)
        ORDER BY ends_time
        """,
    )


def parse_matchers(matchers: list[str]) -> dict[str, str]:
    """field=glob pairs. Raises UsageError on a field that alerts have not."""
    parsed = {}
    for matcher in matchers:
        field, equals, glob = matcher.partition("=")
        if not equals or field not in FIELDS or not glob:
            raise UsageError(f"{matcher!r} is no matcher: write field=glob, the field one of {', '.join(FIELDS)}")
        parsed[field] = glob
    return parsed


def _duration(value: str) -> float:
    parsed = seconds(value)
    if not isinstance(parsed, float):
        raise UsageError(f"{value!r} is no length of time: write 90s, 15m, 4h or 2d")
    return parsed


def route(routing: Routing, matchers: list[str]) -> list[Row]:
    """Where an alert with these fields ("severity=critical") would go: one row a channel, in the order of the tree."""
    fields = parse_matchers(matchers)
    if fields.get("severity", "warning") not in get_args(Severity):
        raise UsageError(f"severity is one of {', '.join(get_args(Severity))}")
    alert = _alert({"severity": "warning", "status": "firing"} | fields)
    rows: list[Row] = []
    for found in routing.destinations(alert):
        group = f"{found.group.limit} a {found.group.window:g} s by {' '.join(found.group.by)}"
        for name in found.channels:
            rows.append(
                {"after_s": 0.0, "channel": name, "route": found.path, "repeat_s": found.repeat, "group": group}
            )
        for step in found.escalate:
            rows += [
                {
                    "after_s": step.after,
                    "channel": name,
                    "route": f"{found.path}.escalate",
                    "repeat_s": 0.0,
                    "group": "",
                }
                for name in step.channels
            ]
    return rows


def test_channel(client: Client, channel: str, by: str, *, timeout: float) -> list[Row]:
    """Send one test alert the whole way to a channel and wait for its record; the rows of its attempts."""
    alert_id = f"test-{secrets.token_hex(8)}"
    _raise_test(client, alert_id, "firing", channel, by)
    try:
        rows = _answer(client, alert_id, "firing", timeout)
    finally:  # whatever came of it: no test is left firing
        _raise_test(client, alert_id, "resolved", channel, by)
    return _answer(client, alert_id, "resolved", timeout) if _has(rows, "delivered") else rows


def _raise_test(client: Client, alert_id: str, status: str, channel: str, by: str) -> None:
    client.command(
        """
        INSERT INTO alerts (alert_id, rule, severity, status, entity, started_time, event_time, summary, evidence)
        SELECT
            {alert_id:String}, {rule:String}, 'info', {status:String}, {entity:String}, now64(3), now64(3),
            {summary:String}, '{}'
        """,
        parameters={
            "alert_id": alert_id,
            "rule": TEST_RULE,
            "status": status,
            "entity": f"channel:{channel}",
            "summary": f"test of channel {channel} by {by}: nothing is wrong",
        },
    )


def _answer(client: Client, alert_id: str, status: str, timeout: float) -> list[Row]:
    """The attempts at a test, once one is final. Raises UsageError when none is within `timeout` seconds."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        rows = select(
            client,
            """
            SELECT status, channel, attempt, outcome, http_status, error, latency_ms
            FROM alert_deliveries
            WHERE (alert_id = {alert_id:String}) AND (status = {status:String}) AND (outcome != 'queued')
            ORDER BY attempted_time, attempt
            """,
            alert_id=alert_id,
            status=status,
        )
        if _has(rows, "delivered", "failed", "suppressed"):
            return rows
        time.sleep(0.2)
    raise UsageError(f"no answer within {timeout:g} s: does a feeder run (`chctl alerts stats`)? Alert {alert_id}")


def _has(rows: list[Row], *outcomes: str) -> bool:
    return any(row["outcome"] in outcomes for row in rows)


def stats(client: Client, since: str) -> dict[str, Any]:
    """How alerting does: raised per rule, outcomes and latency per channel, acknowledgement, who delivers."""
    window = {"window": int(_duration(since))}
    rules = select(
        client,
        """
        SELECT
            rule,
            uniqExactIf(alert_id, status = 'firing') AS raised,
            uniqExactIf(alert_id, status = 'resolved') AS resolved
        FROM alerts
        WHERE alerts.raised_time > now64(3) - toIntervalSecond({window:UInt32})
        GROUP BY rule
        ORDER BY raised DESC, rule
        """,
        **window,
    )
    channels = select(
        client,
        """
        SELECT
            channel,
            uniqExactIf((alert_id, status), outcome = 'delivered') AS delivered,
            uniqExactIf((alert_id, status), outcome = 'failed') AS failed,
            uniqExactIf((alert_id, status), outcome = 'suppressed') AS suppressed,
            countIf(outcome = 'retry') AS retries,
            round(quantileExactIf(0.5)(seconds, outcome = 'delivered' AND step = 0), 3) AS p50_s,
            round(quantileExactIf(0.99)(seconds, outcome = 'delivered' AND step = 0), 3) AS p99_s
        FROM
        (
            SELECT
                *,
                dateDiff('millisecond', raised.first_time, deliveries.attempted_time) / 1000 AS seconds
            FROM alert_deliveries AS deliveries
            LEFT JOIN
            (
                SELECT alert_id, status, min(raised_time) AS first_time
                FROM alerts
                GROUP BY alert_id, status
            ) AS raised ON (raised.alert_id = deliveries.alert_id) AND (raised.status = deliveries.status)
            WHERE deliveries.attempted_time > now64(3) - toIntervalSecond({window:UInt32})
        )
        GROUP BY channel
        ORDER BY channel
        """,
        **window,
    )
    (totals,) = select(
        client,
        """
        SELECT
            (SELECT count() FROM alerts_open) AS open,
            (SELECT countIf(acked_by = '') FROM alerts_open) AS unacknowledged,
            (
                SELECT count()
                FROM alert_silences FINAL
                WHERE (starts_time <= now64(3)) AND (ends_time > now64(3))
            ) AS silences
        """,
    )
    feeder = select(
        client,
        """
        SELECT
            owner,
            epoch,
            dateDiff('millisecond', greatest(taken_time, beat_time), now64(3)) / 1000 AS beat_age_s,
            released
        FROM
        (
            SELECT epoch, owner, taken_time
            FROM alert_feeder_leases
            ORDER BY epoch DESC
            LIMIT 1
        ) AS leases
        LEFT JOIN
        (
            SELECT epoch, max(beat_time) AS beat_time, max(released) AS released
            FROM alert_feeder_beats
            GROUP BY epoch
        ) AS beats USING (epoch)
        """,
    )
    return {"rules": rules, "channels": channels, **totals, "feeder": feeder[0] if feeder else None}


def _alert(row: Row) -> Alert:
    """An alert with just the fields that matchers read."""
    return Alert(
        alert_id=str(row.get("alert_id", "")),
        rule=str(row.get("rule", "")),
        severity=row.get("severity", "warning"),
        status=row.get("status", "firing"),
        entity=str(row.get("entity", "")),
        venue=row.get("venue"),
        symbol=row.get("symbol"),
        user_id=row.get("user_id"),
        started_time=0,
        event_time=0,
        raised_time=0,
    )
