"""How a file of views/ becomes statements: one function a kind of object, each the safe way for its kind.

Pure: it looks at what the file says, what the node shows and what was applied, and runs nothing.

| kind | change | why it loses nothing |
|---|---|---|
| materialized view | target columns added, then `ALTER TABLE ... MODIFY QUERY` | never detached from its source |
| refreshable view | `MODIFY QUERY`, `MODIFY REFRESH` | its schedule and target stay |
| view | `CREATE OR REPLACE` | atomic for readers |
| dictionary | a copy is loaded first, then `CREATE OR REPLACE` | a source that fails is found out beside the live one |
| Kafka table | dropped and created again with the same consumer group | the broker keeps the group's offsets |
| Null table | columns added or changed in place | it holds no rows, and its views stay attached |
| other table | columns added in place | anything else is for a migration |
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chctl.bookkeeping import Applied
from chctl.checks import column_problems
from chctl.sqltext import ObjectDef, parse_object, significant
from chctl.views import View

_HEAD = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?(\w+)\s+(?:IF\s+NOT\s+EXISTS\s+)?(\S+)", re.IGNORECASE)


_CLAUSES = r"\b(?:PARTITION\s+BY|PRIMARY\s+KEY|ORDER\s+BY|SAMPLE\s+BY|TTL|SETTINGS|COMMENT)\b"

#: Ends the name of the copy under which a changed dictionary is loaded first.
TRIAL = "__trial"


class RefusedError(Exception):
    """A change that would lose rows or cannot be made in place; says how to do it."""

    def __init__(self, path: str, message: str, line: int = 1) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path, self.message, self.line = path, message, line


@dataclass(frozen=True)
class Change:
    """What happens to one object."""

    object: str
    kind: str
    action: str  # create | modify | replace | recreate | record | drop
    path: str
    statements: tuple[str, ...] = ()
    before: str = ""  # the SQL that was applied; '' for a new object
    after: str = ""  # the SQL of the file; '' for a dropped object
    view: View | None = field(default=None, repr=False, compare=False)
    late: tuple[str, ...] = ()  # run once every other change is in place
    unsure: bool = False  # reads what changes in the same run: planned again when its turn comes

    @property
    def diff(self) -> str:
        """A unified diff of the SQL, file against what was applied."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), "node", self.path or "(deleted)", lineterm="", n=2
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Live:
    """What the node shows of one object."""

    name: str
    engine: str
    create_sql: str
    rows: int | None = None

    def definition(self) -> ObjectDef:
        """The node's own CREATE statement, read. Raises SqlError."""
        return parse_object(self.create_sql)


def same_sql(a: str, b: str) -> bool:
    """Whether two statements differ in nothing but white space and comments."""
    return [t.text for t in significant(a)] == [t.text for t in significant(b)]


def replaced(definition: ObjectDef, name: str | None = None) -> str:
    """The statement as `CREATE OR REPLACE`, optionally under another name."""
    return _HEAD.sub(lambda m: f"CREATE OR REPLACE {m[1].upper()} {name or m[2]}", definition.sql, count=1)


@dataclass(frozen=True)
class Case:
    """One changed object: its file, what the node shows, and the columns around it."""

    view: View
    have: ObjectDef
    columns: Mapping[str, str]  # name -> type of the table it writes to
    output: Mapping[str, str]  # name -> type of what its query gives; empty where that cannot be known yet
    target_kind: str = "table"
    was: ObjectDef | None = None  # what the file said when it was applied

    @property
    def want(self) -> ObjectDef:
        return self.view.definition

    def refuse(self, message: str) -> RefusedError:
        return RefusedError(self.view.path, f"{self.want.name}: {message}", self.view.line)


def change_of(
    view: View,
    live: Live | None,
    applied: Applied | None,
    columns: Mapping[str, str],
    output: Mapping[str, str],
    target_kind: str = "table",
    overwrite: bool = False,
) -> Change | None:
    """The change that brings one object to its file, or None. Raises RefusedError.

    `columns` are those of the table it writes to, `output` those its query gives (name -> type; empty where that
    cannot be known yet).
    """
    want = view.definition
    if live is None:
        added = _missing_columns(view, target_kind, columns, output)
        return Change(want.name, want.kind, "create", view.path, (*added, want.sql), "", want.sql, view)
    if applied is not None and applied.sha256 == view.sha256:
        return None
    if applied is not None and same_sql(applied.sql, want.sql):
        return Change(want.name, want.kind, "record", view.path, (), applied.sql, want.sql, view)
    if applied is not None and not same_sql(applied.live_sql, live.create_sql) and not overwrite:
        raise RefusedError(
            view.path,
            f"{want.name} was changed on the node since {applied.applied_at} and its file as well: look at "
            f"`chctl drift {want.name}`, then keep the node's (`chctl adopt {want.name}`) "
            f"or the file's (`chctl migrate --overwrite {want.name}`)",
            view.line,
        )
    was = parse_object(applied.sql) if applied and applied.sql else None
    case = Case(view, live.definition(), columns, output, target_kind, was)
    if case.have.kind != want.kind:
        raise case.refuse(
            f"a {case.have.kind} on the node and a {want.kind} in the file: give the new one a new name, "
            "delete the old file and run `chctl migrate --prune`"
        )
    edit = _KINDS[want.kind](case)
    before = applied.sql if applied else live.create_sql
    return Change(
        want.name, want.kind, edit.action, view.path, tuple(edit.now), before, want.sql, view, tuple(edit.late)
    )


@dataclass(frozen=True)
class Edit:
    """Statements for one object: those run in its turn, and those run once all others are in place."""

    action: str
    now: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


def _replace(case: Case) -> Edit:
    return Edit("replace", [replaced(case.want)])


def _materialized(case: Case) -> Edit:
    want, have = case.want, case.have
    if have.target != want.target:
        raise case.refuse(
            f"it writes to {have.target}, the file says TO {want.target}: a view cannot change its table. "
            f"Write a new view in a new file, delete this one and run `chctl migrate --prune`; "
            f"then `chctl rebuild` {want.target} for the rows in between"
        )
    if case.was is not None and _words(case.was.head) != _words(want.head):
        raise case.refuse(
            f"{want.head or 'the head'} changes: write a migration with ALTER TABLE {want.name} MODIFY SQL SECURITY ..."
        )
    statements = _missing_columns(case.view, case.target_kind, case.columns, case.output)
    if _words(have.refresh) != _words(want.refresh):
        if ("APPEND" in _words(have.refresh)) != ("APPEND" in _words(want.refresh)):
            raise case.refuse("APPEND cannot be added or removed in place: make a new view with a new name")
        statements.append(f"ALTER TABLE {want.name} MODIFY REFRESH {want.refresh}")
    statements.append(f"ALTER TABLE {want.name} MODIFY QUERY {want.query}")
    return Edit("modify", statements)


def _missing_columns(view: View, target_kind: str, columns: Mapping[str, str], output: Mapping[str, str]) -> list[str]:
    """The ALTER that gives a view's table the columns it lacks. Raises RefusedError on a likely slip."""
    target = view.definition.target or ""
    if not columns or not output:
        return []
    for problem in column_problems(output, columns, target, target_kind):
        raise RefusedError(view.path, f"{view.name} {problem}", view.line)
    missing = {name: type_ for name, type_ in output.items() if name not in columns}
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {type_}" for name, type_ in missing.items())
    return [f"ALTER TABLE {target} {added}"] if missing else []


def _words(clause: str) -> list[str]:
    return [t.text.upper() for t in significant(clause)]


def _dictionary(case: Case) -> Edit:
    name, trial = case.want.name, f"{case.want.name}{TRIAL}"
    return Edit(
        "replace",
        [
            replaced(case.want, trial),
            f"SYSTEM RELOAD DICTIONARY {trial}",
            replaced(case.want),
            f"SYSTEM RELOAD DICTIONARY {name}",
            f"DROP DICTIONARY IF EXISTS {trial}",
        ],
    )


def _kafka(case: Case) -> Edit:
    want, have = case.want, case.have
    for setting, what in (("kafka_group_name", "consumer group"), ("kafka_topic_list", "topic")):
        if have.settings.get(setting) != want.settings.get(setting):
            raise case.refuse(
                f"the {what} changes from {have.settings.get(setting)!r} to {want.settings.get(setting)!r}, "
                "which reads the topic again or skips rows. Keep it, or make a new table with a new name"
            )
    if want.columns == have.columns and same_sql(want.engine_clause, have.engine_clause):
        return Edit("record")
    return Edit("recreate", [f"DROP TABLE IF EXISTS {want.name}", want.sql])


def _null(case: Case) -> Edit:
    old = dict(case.have.columns)
    parts = []
    for name, declaration in case.want.columns:
        if name not in old:
            parts.append(f"ADD COLUMN IF NOT EXISTS {name} {declaration}")
        elif not same_sql(old[name], declaration):
            parts.append(f"MODIFY COLUMN {name} {declaration}")
    wanted = dict(case.want.columns)
    gone = [f"ALTER TABLE {case.want.name} DROP COLUMN IF EXISTS {name}" for name in old if name not in wanted]
    return Edit("modify", [f"ALTER TABLE {case.want.name} {part}" for part in parts], gone)


def _table(case: Case) -> Edit:
    want, have = case.want, case.have
    if have.engine != want.engine:
        raise case.refuse(f"the engine changes from {have.engine} to {want.engine}: {_MOVE}")
    for clause in ("ORDER BY", "PRIMARY KEY", "PARTITION BY"):
        if not same_sql(engine_part(have.engine_clause, clause), engine_part(want.engine_clause, clause)):
            raise case.refuse(f"{clause} changes: {_MOVE}")
    if case.was is not None:  # the node writes these its own way: only what the file said can be compared
        for clause, way in _BY_MIGRATION.items():
            if not same_sql(engine_part(case.was.engine_clause, clause), engine_part(want.engine_clause, clause)):
                raise case.refuse(f"{clause} changes: write a migration with ALTER TABLE {want.name} {way}")
        if not same_sql(engine_arguments(case.was), engine_arguments(want)):
            raise case.refuse(f"the arguments of {want.engine} change: {_MOVE}")
        if _declared(case.was) != _declared(want):
            raise case.refuse("an index, projection or constraint changes: write a migration with ADD or DROP of it")
    old, wanted = dict(have.columns), dict(want.columns)
    if lost := [name for name in old if name not in wanted]:
        raise case.refuse(f"{', '.join(lost)} would be dropped with its values: write a migration that says so")
    if retyped := [name for name in old if not same_sql(old[name], wanted[name])]:
        raise case.refuse(f"{', '.join(retyped)} changes its type or codec: write a migration with MODIFY COLUMN")
    added = [f"ADD COLUMN IF NOT EXISTS {name} {type_}" for name, type_ in want.columns if name not in old]
    return Edit("modify", [f"ALTER TABLE {want.name} {', '.join(added)}"] if added else [])


def engine_part(engine_clause: str, clause: str) -> str:
    """One clause of an engine, such as `ORDER BY`, without its keywords."""
    words = r"\s+".join(clause.split())
    match = re.search(rf"\b{words}\b(.*?)(?={_CLAUSES}|$)", engine_clause, re.IGNORECASE | re.DOTALL)
    return match[1].strip() if match else ""


def engine_arguments(table: ObjectDef) -> str:
    """What stands in the parentheses behind an engine's name, as written; '' for none."""
    return re.split(_CLAUSES, table.engine_clause, maxsplit=1, flags=re.IGNORECASE)[0].removeprefix(table.engine)


def _declared(table: ObjectDef) -> list[list[str]]:
    return sorted([t.text for t in significant(declaration)] for declaration in table.declarations)


#: Clauses that a table can change in place, at a cost that a DBA should have seen in a plan of its own.
_BY_MIGRATION = {
    "TTL": "MODIFY TTL ... (or REMOVE TTL)",
    "SETTINGS": "MODIFY SETTING ...",
    "SAMPLE BY": "MODIFY SAMPLE BY ...",
    "COMMENT": "MODIFY COMMENT ...",
}
_MOVE = "write a migration that creates the new table, fills it from the old one and exchanges the two"

_KINDS: Mapping[str, Callable[[Case], Edit]] = {
    "view": _replace,
    "mv": _materialized,
    "refreshable": _materialized,
    "dictionary": _dictionary,
    "kafka": _kafka,
    "null": _null,
    "table": _table,
}
