"""What can be known to be wrong with migrations/ and views/ without a node; `chctl lint` and `chctl migrate` share it.

Each check is one function that yields findings. `chctl migrate` refuses to start while there is one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING

from chctl.idempotence import waiver, why_not_idempotent
from chctl.project import MigrationFile, Project
from chctl.schema_model import Table, apply_statement, read_schema
from chctl.sqltext import Statement, output_columns
from chctl.views import View

if TYPE_CHECKING:
    from chctl.contracts import Contract


@dataclass(frozen=True, order=True)
class Finding:
    """One thing wrong, at a place; prints as an editor reads it: `file:line: message`."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check(project: Project) -> list[Finding]:
    """Everything wrong with the files, by place."""
    migrations, views, contracts = project.migrations, project.views, project.contracts
    tables = schema(migrations, views)
    return sorted(
        [
            *gaps(migrations),
            *not_idempotent(migrations),
            *missing_columns(views, tables),
            *kafka_columns(tables, contracts),
            *second_readers(views, tables),
            *shared_groups(tables),
            *changed_groups(migrations),
            *keyless_writes(views, tables, contracts),
        ]
    )


def schema(migrations: Iterable[MigrationFile], views: Iterable[View]) -> dict[str, Table]:
    """Every table that the files make."""
    tables = read_schema((m.path, m.statements) for m in migrations)
    for view in views:
        if view.definition.kind in ("table", "null", "kafka"):
            apply_statement(tables, Statement(view.definition.sql, view.line), view.path)
    return tables


def gaps(migrations: list[MigrationFile]) -> Iterator[Finding]:
    """Numbers that are missing between two migrations: a file that did not reach this checkout.

    Numbers go up by one, or on to a multiple of ten, where another part of the schema starts.
    """
    for previous, this in pairwise([0, *(m.version for m in migrations)]):
        if this != previous + 1 and this % 10:
            path = next(m.path for m in migrations if m.version == this)
            yield Finding(
                path,
                1,
                f"migration {this - 1:04d} is missing before this one: add the file, or number this one "
                f"{previous + 1:04d}, or a multiple of ten where a new part of the schema starts",
            )


def not_idempotent(migrations: list[MigrationFile]) -> Iterator[Finding]:
    """Statements, also of a .down.sql, that may not run twice and say nothing about it."""
    placed = [(m.path, s) for m in migrations for s in m.statements]
    placed += [(str(m.down), s) for m in migrations for s in m.down_statements]
    for path, statement in placed:
        reason = why_not_idempotent(statement.sql)
        if reason and waiver(statement) is None:
            yield Finding(
                path,
                statement.line,
                f"not idempotent: {reason}, or put `-- not idempotent: <reason>` right above the statement",
            )


def missing_columns(views: list[View], tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Columns of a materialized view that its table has not and that chctl should not add by itself."""
    for view in views:
        target = tables.get(view.definition.target or "")
        names = output_columns(view.definition.query) if target else None
        if target is not None and names is not None:
            for problem in column_problems(names, target.columns, target.name, target.kind):
                yield Finding(view.path, view.line, f"{view.name} {problem}")


def column_problems(given: Collection[str], columns: Collection[str], target: str, kind: str) -> Iterator[str]:
    """What speaks against adding the columns that a view gives and its table has not.

    ClickHouse itself drops the values of such a column in silence (`ALTER ... MODIFY QUERY`). A new column is added
    by chctl; a likely slip is refused.
    """
    missing = [name for name in given if name not in columns]
    if not missing:
        return
    by_migration = f"add it in a migration: ALTER TABLE {target} ADD COLUMN IF NOT EXISTS"
    if kind == "kafka":
        yield f"gives {', '.join(missing)}, which the Kafka table {target} has not: make that table anew with them"
    elif len(missing) == len(given):
        yield f"gives no column that {target} has: is TO {target} right?"
    else:
        free = [name for name in columns if name not in given]
        for name in missing:
            if not name.isidentifier():
                yield f"gives an expression without a name, {name}: write AS and a column of {target}"
            elif near := _slip_of(name, free):
                yield f"gives {name}, which {target} has not: did you mean {near}? If not, {by_migration} {name} ..."


def _slip_of(name: str, columns: Iterable[str]) -> str | None:
    """The column that `name` is likely to have been meant for; names that differ in a number are meant."""
    stem = re.sub(r"\d", "", name)
    near = get_close_matches(name, [c for c in columns if re.sub(r"\d", "", c) != stem], 1, 0.75)
    return near[0] if near else None


def kafka_columns(tables: Mapping[str, Table], contracts: Mapping[str, Contract]) -> Iterator[Finding]:
    """Columns of Kafka tables that would fill or drop a value in silence, against the topic's contract."""
    for table in tables.values():
        if table.kind != "kafka":
            continue
        contract = contracts.get(table.settings.get("kafka_topic_list", ""))
        for name, declaration in table.columns.items():
            nullable = declaration.upper().startswith("NULLABLE")
            field = contract.by_name.get(name) if contract else None
            if re.search(r"\b(DEFAULT|MATERIALIZED|ALIAS|EPHEMERAL)\b", declaration, re.IGNORECASE):
                message = f"{table.name}.{name} has a default: a missing field would pass for a value"
            elif table.name.startswith("to_kafka_") and nullable and field is not None and field.required:
                message = f"{table.name}.{name} is Nullable, the contract requires it: null would be published"
            elif table.name.startswith("kafka_") and field is not None and not (nullable or declaration == "String"):
                message = f"{table.name}.{name} is neither Nullable nor String: a missing field would read as 0"
            else:
                continue
            yield Finding(table.path, table.line, message)


def second_readers(views: list[View], tables: Mapping[str, Table]) -> Iterator[Finding]:
    """A second view on a Kafka table: what is read before both are attached reaches only one of them."""
    first: dict[str, str] = {}
    for view in views:
        table = tables.get(view.definition.trigger or "")
        if view.definition.kind == "mv" and table is not None and table.kind == "kafka":
            other = first.setdefault(table.name, view.name)
            if other != view.name:
                yield Finding(
                    view.path,
                    view.line,
                    f"{view.name} and {other} both read {table.name}: let one write to a Null table and read that",
                )


def shared_groups(tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Two tables in one consumer group: each would get a part of the rows."""
    seen: dict[tuple[str, str], str] = {}
    for table in tables.values():
        group = table.settings.get("kafka_group_name", "")
        if table.kind != "kafka" or not group or table.name.startswith("to_kafka_"):
            continue
        other = seen.setdefault((group, table.settings.get("kafka_topic_list", "")), table.name)
        if other != table.name:
            yield Finding(table.path, table.line, f"{table.name} and {other} share consumer group {group}")


def changed_groups(migrations: list[MigrationFile]) -> Iterator[Finding]:
    """A Kafka table made again with another consumer group: it would read its topic again from the start."""
    groups: dict[str, str] = {}
    tables: dict[str, Table] = {}
    for migration in migrations:
        for statement in migration.statements:
            apply_statement(tables, statement, migration.path)
            for table in tables.values():
                group = table.settings.get("kafka_group_name", "")
                if table.kind != "kafka" or not group or table.name.startswith("to_kafka_"):
                    continue
                before = groups.setdefault(table.name, group)
                if before != group:
                    groups[table.name] = group
                    yield Finding(
                        migration.path,
                        statement.line,
                        f"{table.name} changes its consumer group from {before} to {group}, which reads the topic again"
                        f" or skips rows: keep {before}, or `chctl replay` to read again on purpose",
                    )


def keyless_writes(
    views: list[View], tables: Mapping[str, Table], contracts: Mapping[str, Contract]
) -> Iterator[Finding]:
    """Views that write to a compacted topic without `_key`: compaction would keep one message of all of them."""
    for view in views:
        table = tables.get(view.definition.target or "")
        if table is None or table.kind != "kafka":
            continue
        contract = contracts.get(table.settings.get("kafka_topic_list", ""))
        if contract is None or "compact" not in contract.cleanup_policy:
            continue
        names = output_columns(view.definition.query)
        if "_key" not in table.columns or (names is not None and "_key" not in names):
            yield Finding(
                view.path,
                view.line,
                f"{view.name} writes to the compacted topic {contract.topic} without a key: give {table.name} a column "
                f"_key String and select {' || '.join(contract.key)} AS _key",
            )
