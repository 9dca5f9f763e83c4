"""The tables that migrations/ describe, read offline: columns, engine and settings after the last statement.

Follows CREATE TABLE, ALTER TABLE ... ADD/DROP/RENAME/MODIFY COLUMN, DROP, RENAME and EXCHANGE. What it cannot follow
(CREATE TABLE ... AS another, a table function) it leaves out, and nothing is then said about that table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from chctl.idempotence import alter_commands
from chctl.sqltext import SqlError, Statement, identifier_value, parse_object, significant, word


@dataclass
class Table:
    """A table as far as the files tell; `columns` is name -> declaration, in order."""

    name: str
    kind: str  # table | kafka | null
    columns: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)
    path: str = ""
    line: int = 1


def table_name(sql: str, after: int) -> str | None:
    """The name that follows the first `after` words of a statement, guards and database dropped."""
    tokens = significant(sql)[after:]
    while tokens and word(tokens[0]) in ("IF", "NOT", "EXISTS", "TEMPORARY"):
        tokens = tokens[1:]
    names = []
    while tokens and (value := identifier_value(tokens[0])) is not None:
        names.append(value)
        if len(tokens) < 3 or tokens[1].text != ".":
            break
        tokens = tokens[2:]
    return names[-1] if names else None


def read_schema(files: Iterable[tuple[str, Iterable[Statement]]]) -> dict[str, Table]:
    """Tables by name after every (path, statements) in turn."""
    tables: dict[str, Table] = {}
    for path, statements in files:
        for statement in statements:
            apply_statement(tables, statement, path)
    return tables


def apply_statement(tables: dict[str, Table], statement: Statement, path: str) -> None:
    """Follow one statement."""
    sql = statement.sql.rstrip("; \n")
    words = [word(t) for t in significant(sql)[:4]]
    if words[:1] == ["CREATE"] and "TABLE" in words:
        with contextlib.suppress(SqlError):
            found = parse_object(sql)
            if found.columns and not ("EXISTS" in sql.upper().split("(")[0] and found.name in tables):
                columns = dict(found.columns)
                tables[found.name] = Table(found.name, found.kind, columns, found.settings, path, statement.line)
    elif words[:2] == ["DROP", "TABLE"]:
        tables.pop(table_name(sql, 2) or "", None)
    elif words[:2] == ["ALTER", "TABLE"]:
        table = tables.get(table_name(sql, 2) or "")
        for command in alter_commands(sql) if table else ():
            _alter(table, command)  # type: ignore[arg-type]
    elif words[:1] == ["RENAME"] and "TABLE" in words:
        tokens = significant(sql)
        names = [identifier_value(t) for t in tokens[2:] if word(t) != "TO" and identifier_value(t)]
        if len(names) == 2 and names[0] in tables:
            tables[str(names[1])] = tables.pop(str(names[0]))
    elif words[:1] == ["EXCHANGE"]:
        names = [identifier_value(t) for t in significant(sql)[2:] if word(t) != "AND" and identifier_value(t)]
        if len(names) == 2 and names[0] in tables and names[1] in tables:
            a, b = str(names[0]), str(names[1])
            tables[a], tables[b] = tables[b], tables[a]


def _alter(table: Table, command: str) -> None:
    tokens = [t for t in significant(command) if word(t) not in ("IF", "NOT", "EXISTS")]
    verb, subject = word(tokens[0]), word(tokens[1]) if len(tokens) > 1 else ""
    if subject != "COLUMN" or len(tokens) < 3:
        return
    name = identifier_value(tokens[2]) or ""
    declaration = " ".join(t.text for t in tokens[3:])
    if verb in ("ADD", "MODIFY"):
        table.columns[name] = declaration
    elif verb == "DROP":
        table.columns.pop(name, None)
    elif verb == "RENAME" and len(tokens) > 4 and name in table.columns:
        renamed = identifier_value(tokens[4]) or name
        table.columns = {renamed if n == name else n: d for n, d in table.columns.items()}
