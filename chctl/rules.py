"""Thresholds and owners of the rules: changed by a row, in force in seconds, all changes kept. Behind `chctl rules`."""

from __future__ import annotations

import difflib
import math

from clickhouse_connect.driver.client import Client

from chctl.alerts import UsageError
from chctl.answers import Row, select

#: Parameters that every rule has without a row of its own: what views/alerts/alerts_held.sql takes then.
DEFAULTS = {"flap_s": 60.0}


def listed(client: Client, rule: str = "") -> list[Row]:
    """Every threshold in force, with who set it and why; `meaning` is what was said of the parameter at first."""
    return select(
        client,
        """
        SELECT rule, scope, parameter, value, updated_time, updated_by, note, first.meaning AS meaning
        FROM alert_rules FINAL
        LEFT JOIN
        (
            SELECT rule, parameter, argMin(note, updated_time) AS meaning
            FROM alert_rule_changes
            GROUP BY rule, parameter
        ) AS first USING (rule, parameter)
        WHERE ({rule:String} = '') OR (rule = {rule:String})
        ORDER BY rule, parameter, scope
        """,
        rule=rule,
    )


def owners(client: Client) -> list[Row]:
    """Who owns which rule, how loud it is, and its runbook line."""
    return select(client, "SELECT rule, owner, severity, runbook, dashboard FROM rule_owners FINAL ORDER BY rule")


def change(client: Client, rule: str, parameter: str, value: float, *, scope: str, by: str, note: str) -> Row:
    """Set one threshold, for all ('*') or for one entity. Returns the row. Raises UsageError on an unread name."""
    known = {(row["rule"], row["parameter"]) for row in listed(client) if row["scope"] == "*"}
    by_default = parameter in DEFAULTS and (rule, parameter) not in known and rule in {name for name, _ in known}
    if not by_default and (rule, parameter) not in known:
        rules = sorted({name for name, _ in known})
        if rule not in rules:
            near = difflib.get_close_matches(rule, rules, 1) or rules
            raise UsageError(f"no rule is called {rule!r}: there is {', '.join(near)}")
        parameters = sorted({name for each, name in known if each == rule} | DEFAULTS.keys())
        raise UsageError(f"{rule} has no parameter {parameter!r}: it reads {', '.join(parameters)}")
    if not math.isfinite(value):
        raise UsageError("a threshold is a finite number")
    if not note.strip():
        raise UsageError("say why: --note TEXT goes into the audit trail")
    if by_default:  # on record first, so that it can be returned to
        _write(client, rule, "*", parameter, DEFAULTS[parameter], "chctl", "the default")
    _write(client, rule, scope, parameter, value, by, note.strip())
    return {
        "rule": rule,
        "scope": scope,
        "parameter": parameter,
        "value": value,
        "updated_by": by,
        "note": note.strip(),
    }


def reset(client: Client, rule: str, parameter: str, *, scope: str, by: str, note: str) -> list[Row]:
    """Undo what was set: an entity's own value goes away, the value for all returns to the first on record.

    `parameter` "" resets every one of the rule and scope. Returns the rows that were changed. Raises UsageError.
    """
    rows = [
        row
        for row in listed(client, rule)
        if row["scope"] == scope and (not parameter or row["parameter"] == parameter)
    ]
    if not rows:
        raise UsageError(f"nothing is set for {rule} {parameter or '(any parameter)'} in scope {scope!r}")
    changed = []
    for row in rows:
        first = _first(client, rule, "*", row["parameter"])
        if scope != "*":
            # On record first: should the second step fail, the value for all is in force already.
            _write(client, rule, scope, row["parameter"], first, by, f"reset: {note}".strip())
            client.command(
                """
                DELETE FROM alert_rules
                WHERE (rule = {rule:String}) AND (scope = {scope:String}) AND (parameter = {parameter:String})
                """,
                parameters={"rule": rule, "scope": scope, "parameter": row["parameter"]},
            )
        elif first != row["value"]:
            _write(client, rule, scope, row["parameter"], first, by, f"reset: {note}".strip())
        else:
            continue
        changed.append(row | {"was": row["value"], "value": first})
    return changed


def history(client: Client, rule: str = "") -> list[Row]:
    """Every change ever made, the latest first."""
    return select(
        client,
        """
        SELECT updated_time, rule, scope, parameter, value, updated_by, note, database_user
        FROM alert_rule_changes
        WHERE ({rule:String} = '') OR (rule = {rule:String})
        ORDER BY updated_time DESC, rule, parameter, scope
        """,
        rule=rule,
    )


def own(client: Client, rule: str, by: str, **fields: str | None) -> Row:
    """Set owner, severity, runbook or dashboard of a rule; None leaves one as it is. Returns the row as written."""
    severity = fields.get("severity")
    if severity not in (None, "", "info", "warning", "critical"):
        raise UsageError("severity is info, warning, critical, or empty for what the rule says")
    now: Row = next((row for row in owners(client) if row["rule"] == rule), {"rule": rule})
    names = ("owner", "severity", "runbook", "dashboard")
    values = [fields[name] if fields.get(name) is not None else now.get(name, "") for name in names]
    client.insert(
        "rule_owners",
        [[rule, *values, by]],
        column_names=["rule", *names, "updated_by"],
        settings={"async_insert": 0},
    )
    return {"rule": rule, **dict(zip(names, values, strict=True)), "updated_by": by}


def _first(client: Client, rule: str, scope: str, parameter: str) -> float:
    rows = select(
        client,
        """
        SELECT argMin(value, updated_time) AS value
        FROM alert_rule_changes
        WHERE (rule = {rule:String}) AND (scope = {scope:String}) AND (parameter = {parameter:String})
        HAVING count() > 0
        """,
        rule=rule,
        scope=scope,
        parameter=parameter,
    )
    if not rows:
        raise UsageError(f"no first value of {rule} {parameter} is on record: set one with `chctl rules set`")
    return float(rows[0]["value"])


def _write(client: Client, rule: str, scope: str, parameter: str, value: float, by: str, note: str) -> None:
    client.insert(
        "alert_rules",
        [[rule, scope, parameter, value, by, note]],
        column_names=["rule", "scope", "parameter", "value", "updated_by", "note"],
        settings={"async_insert": 0},
    )
