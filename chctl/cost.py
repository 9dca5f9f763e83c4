"""What a statement becomes on the node: its kind, the parts and bytes it rewrites, and what is risky about it.

Sizes come from system.parts and system.parts_columns. A mutation rewrites what the table's columns in question take on
disk; the kinds follow ClickHouse's documentation of ALTER.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.schema_dump import quote_string

from chctl.idempotence import alter_commands
from chctl.node_state import names_in
from chctl.schema_model import table_name
from chctl.sqltext import identifier_value, significant, word


@dataclass(frozen=True)
class Size:
    """A table's active parts on disk."""

    parts: int = 0
    bytes: int = 0
    rows: int = 0
    columns: dict[str, int] = field(default_factory=dict)  # column -> bytes on disk
    types: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What one statement does. `parts` and `bytes` are rewritten; `rows_lost` are gone afterwards."""

    kind: str  # metadata | mutation | merge | insert | drop | reload
    parts: int = 0
    bytes: int = 0
    rows_lost: int = 0
    risks: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = self.kind
        if self.parts:
            text += f", rewrites {self.parts} parts, {human(self.bytes)}"
        if self.rows_lost:
            text += f", loses {self.rows_lost:,} rows"
        return text


def human(size: float) -> str:
    """Bytes, as a person reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def sizes(client: Client, database: str, statements: Iterable[str]) -> dict[str, Size]:
    """Sizes of the tables that the statements name."""
    names = {n for sql in statements if (n := subject(sql))}
    if not names:
        return {}
    where = f"WHERE database = {quote_string(database)} AND table IN {names_in(names)}"
    totals = client.query(
        f"SELECT table, count(), sum(bytes_on_disk), sum(rows) FROM system.parts {where} AND active GROUP BY table"
    ).result_rows
    columns: dict[str, dict[str, int]] = {}
    for table, column, size in client.query(
        "SELECT table, column, sum(column_bytes_on_disk) FROM system.parts_columns"
        f" {where} AND active GROUP BY table, column"
    ).result_rows:
        columns.setdefault(table, {})[column] = size
    types: dict[str, dict[str, str]] = {}
    for table, column, type_ in client.query(f"SELECT table, name, type FROM system.columns {where}").result_rows:
        types.setdefault(table, {})[column] = type_
    found = {table: (parts, size, rows) for table, parts, size, rows in totals}
    return {
        name: Size(*found.get(name, (0, 0, 0)), columns=columns.get(name, {}), types=types.get(name, {}))
        for name in names
    }


def subject(sql: str) -> str | None:
    """The table that a statement changes, or None."""
    words = [word(t) for t in significant(sql)[:3]]
    if words[:2] in (["ALTER", "TABLE"], ["DROP", "TABLE"], ["OPTIMIZE", "TABLE"], ["TRUNCATE", "TABLE"]):
        return table_name(sql, 2)
    if words[:2] == ["INSERT", "INTO"]:
        return table_name(sql, 2)
    return None


def cost(sql: str, tables: dict[str, Size]) -> Cost:
    """The cost of one statement."""
    words = [word(t) for t in significant(sql)[:2]]
    size = tables.get(subject(sql) or "", Size())
    first = words[0] if words else ""
    if first == "ALTER":
        return _sum([_alter(command, size) for command in alter_commands(sql)])
    if words == ["DROP", "TABLE"] or first == "TRUNCATE":
        risks = (f"{size.rows:,} rows are lost",) if size.rows else ()
        return Cost("drop", rows_lost=size.rows, risks=risks)
    if first == "OPTIMIZE":
        return Cost("merge", size.parts, size.bytes, risks=("rewrites the whole table",) if size.parts else ())
    if first == "INSERT":
        return Cost("insert", risks=("runs while rows arrive: rows that come meanwhile may be missed or doubled",))
    return Cost("reload" if first == "SYSTEM" else "metadata")


def _sum(costs: list[Cost]) -> Cost:
    heavy = [c for c in costs if c.kind != "metadata"]
    if not heavy:
        return Cost("metadata", risks=tuple(r for c in costs for r in c.risks))
    return Cost(
        heavy[0].kind,
        max(c.parts for c in heavy),
        sum(c.bytes for c in heavy),
        max(c.rows_lost for c in heavy),
        tuple(r for c in costs for r in c.risks),
    )


def _alter(command: str, size: Size) -> Cost:
    tokens = [t for t in significant(command) if word(t) not in ("IF", "NOT", "EXISTS")]
    verb, what = word(tokens[0]), word(tokens[1]) if len(tokens) > 1 else ""
    name = identifier_value(tokens[2]) or "" if len(tokens) > 2 else ""
    if verb == "MODIFY" and what == "COLUMN":
        type_ = re.split(r"\b(?:CODEC|DEFAULT|MATERIALIZED|ALIAS|COMMENT|TTL|REMOVE)\b", command, flags=re.I)[0]
        wanted = "".join(t.text for t in significant(type_)[2:] if word(t) not in ("IF", "EXISTS"))[len(name) :]
        have = size.types.get(name, "").replace(" ", "")
        if not wanted or wanted == have or name not in size.types:
            return Cost("metadata")
        risk = f"{name} changes from {size.types[name]} to {wanted}: values that do not fit fail or are cut"
        return Cost("mutation", size.parts, size.columns.get(name, 0), risks=(risk,))
    if verb == "DROP" and what == "COLUMN":
        lost = (f"the values of {name} are lost",) if size.rows else ()
        return Cost("mutation", size.parts, size.columns.get(name, 0), risks=lost)
    if verb in ("DELETE", "UPDATE"):
        return Cost("mutation", size.parts, size.bytes, risks=(f"{verb} reads every row of the table",))
    if verb == "MATERIALIZE" or (verb == "MODIFY" and what == "TTL"):
        return Cost("mutation", size.parts, size.bytes)
    if verb == "DROP" and what in ("PARTITION", "PART"):
        return Cost("drop", risks=(f"every row of {what.lower()} {' '.join(t.text for t in tokens[2:])} is lost",))
    return Cost("metadata")
