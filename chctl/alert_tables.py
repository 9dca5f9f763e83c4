"""How alerts, silences and rules look to a person in a terminal of 80 columns. `--json` has every field as it is.

Functions of rows: what chctl.alerts and chctl.rules answer goes in, cells for chctl.answers.show come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from chctl.answers import Row, text

#: So many characters of an id are shown at least; commands take the beginning of one.
SHORT = 8


def alerts(rows: Sequence[Row]) -> list[Row]:
    """Alerts that fire, or of all times: whose they are, whether somebody was told, why they are held."""
    ids = short_ids(str(row["alert_id"]) for row in rows)
    return [
        {
            "alert": ids[row["alert_id"]],
            "severity": row["severity"],
            "age": age(row["age_s"]),
            "what": "\n".join(filter(None, (f"{row['rule']} {row['entity']}", row["summary"], row.get("silenced")))),
            "state": "\n".join(_states(row)),
        }
        for row in rows
    ]


def _states(row: Row) -> Iterable[str]:
    if row.get("resolved_time"):
        yield "ended"
    if row["acked_by"]:
        yield f"{row['acked_by']} has it"
    if row.get("silenced"):
        yield "held"
    told = row["told"] if "told" in row else row["delivered"]
    yield f"told {told}" if told else "told nobody"
    if row.get("failed"):
        yield f"failed {row['failed']}"


def attempts(rows: Sequence[Row], raised: datetime) -> list[Row]:
    """Attempts to tell somebody, by the seconds since the alert was raised. Alerts of one page share its key."""
    return [
        {
            "after_s": f"{(row['time'] - raised).total_seconds():.3f}",
            "status": row["status"],
            "channel": row["channel"],
            "page": str(row["idempotency_key"])[: len("msg_") + SHORT],
            "try": row["attempt"],
            "outcome": " ".join(filter(None, (row["outcome"], str(row["http_status"] or ""), row["error"]))),
        }
        for row in rows
    ]


def silences(rows: Sequence[Row]) -> list[Row]:
    """Silences and maintenance windows."""
    return [
        {
            "silence": row["silence_id"],
            "fits": " ".join(f"{field}={glob}" for field, glob in row["matchers"].items()) or "every alert",
            "when_(UTC)": f"from  {row['starts_time']:%Y-%m-%d %H:%M}\nuntil {row['ends_time']:%Y-%m-%d %H:%M}",
            "who": row["who"],
            "why": ("maintenance: " if row["kind"] == "maintenance" else "") + row["why"],
        }
        for row in rows
    ]


def thresholds(rows: Sequence[Row], rule: str) -> list[Row]:
    """Thresholds in force, with who changed one and why. Of one rule, its name is left out."""
    return [
        ({} if rule else {"rule": row["rule"]})
        | {
            "parameter": row["parameter"],
            "scope": row["scope"],
            "value": row["value"],
            "meaning": row["meaning"]
            + (f"\n{row['updated_by']}: {row['note']}" if row["updated_by"] != "chctl" else ""),
        }
        for row in rows
    ]


def changes(rows: Sequence[Row], rule: str) -> list[Row]:
    """The audit trail of thresholds. Of one rule, its name is left out."""
    return [
        {
            "time_(UTC)": row["updated_time"],
            "by": row["updated_by"],
            "change": ("" if rule else f"{row['rule']}\n")
            + f"{row['parameter']} = {text(row['value'])}"
            + (f"\nfor {row['scope']}" if row["scope"] != "*" else ""),
            "note": row["note"],
        }
        for row in rows
    ]


def owners(rows: Sequence[Row]) -> list[Row]:
    """Who owns which rule and what to do first when it fires."""
    return [
        {
            "rule": row["rule"],
            "owner": row["owner"],
            "severity": row["severity"],
            "runbook": "\n".join(filter(None, (row["runbook"], row["dashboard"]))),
        }
        for row in rows
    ]


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id to the shortest beginnings of one length that still tell these apart, of SHORT characters or more."""
    full = set(ids)
    length = SHORT
    while len({each[:length] for each in full}) < len(full):
        length += 1
    return {each: each[:length] for each in full}


def age(seconds: int) -> str:
    """A time that has passed, in the unit of which there are at least two: 90 s, 62 min, 25 h, 3 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"
