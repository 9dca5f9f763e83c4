"""What `chctl migrate` would do: pending migrations and changed files of views/, each as statements.

Looks only; the node, its bookkeeping included, is left as it is. What is refused is found here, before any statement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.schema_dump import quote_string

from chctl.bookkeeping import VERSIONS, Applied, Book
from chctl.changes import Change, Live, RefusedError, change_of
from chctl.checks import check
from chctl.cost import Cost, cost, sizes
from chctl.node_state import describe, live_objects, object_names, opened, table_columns
from chctl.project import MigrationFile, Project
from chctl.settings import Settings
from chctl.sqltext import SqlError, Statement, headline, parse_object
from chctl.views import View, apply_order

#: Statements are sent to the node's parser in chunks well below ClickHouse's max_query_size of 256 KiB.
_CHUNK_BYTES = 100_000
_DROPS = {"dictionary": "DICTIONARY", "table": "TABLE", "null": "TABLE", "kafka": "TABLE"}


@dataclass
class Plan:
    """Everything a run would do, in order."""

    migrations: list[MigrationFile] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)  # objects whose file is gone, kept without --prune
    costs: dict[str, Cost] = field(default_factory=dict)  # by statement

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.migrations or self.changes or self.refusals)

    @property
    def exit_code(self) -> int:
        """0 nothing to do, 2 changes, 1 refused."""
        return 1 if self.refusals else 0 if self.empty else 2

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "migrations": [
                {"path": m.path, "statements": [self._statement(s.sql) for s in m.statements]} for m in self.migrations
            ],
            "changes": [
                {
                    "object": c.object,
                    "kind": c.kind,
                    "action": c.action,
                    "path": c.path,
                    "diff": c.diff,
                    "statements": [self._statement(sql) for sql in (*c.statements, *c.late)],
                    "risks": list(risks(c)),
                }
                for c in self.changes
            ],
            "refusals": self.refusals,
            "orphans": self.orphans,
        }

    def _statement(self, sql: str) -> dict[str, Any]:
        found = self.costs.get(sql, Cost("metadata"))
        return {
            "sql": sql,
            "kind": found.kind,
            "parts": found.parts,
            "bytes": found.bytes,
            "rows_lost": found.rows_lost,
            "risks": list(found.risks),
        }


def make_plan(
    client: Client,
    database: str,
    project: Project,
    *,
    prune: bool = False,
    overwrite: Collection[str] = (),
    costs: bool = False,
) -> Plan:
    """What a run would do now. `overwrite` names objects whose live edits give way to their files."""
    book = Book(client, database)
    applied = book.objects()
    existing = object_names(client, database)
    pending, refusals = pending_migrations(client, database, project.migrations, VERSIONS in existing)
    plan = Plan(pending, refusals=refusals)
    touched = [
        v
        for v in project.views
        if v.name not in existing or v.name not in applied or applied[v.name].sha256 != v.sha256
    ]
    if pending or touched:
        plan.refusals += [str(f) for f in check(project)]
        placed = [(m.path, s) for m in pending for s in m.statements]
        plan.refusals += unparsable(
            client, [*placed, *((v.path, Statement(v.definition.sql, v.line)) for v in touched)]
        )
    if touched and not plan.refusals:
        order = [v for v in apply_order(project.views, project.relays) if v in touched]
        plan_views(client, database, order, applied, plan, {*overwrite, *half_done(book, applied)})
    files = {v.name for v in project.views}
    gone = [a for name, a in applied.items() if name not in files]
    if left := [a for a in gone if a.name in existing]:
        plan_drops(client, database, left, plan, prune)
    if prune and gone:  # a run that died between a drop and its record
        dropped = half_done(book, applied) - existing
        plan.changes += [Change(a.name, a.kind, "drop", a.path, (), a.sql, "") for a in gone if a.name in dropped]
    if costs:
        statements = [s.sql for m in pending for s in m.statements]
        statements += [sql for c in plan.changes for sql in (*c.statements, *c.late)]
        tables = sizes(client, database, statements)
        plan.costs = {sql: cost(sql, tables) for sql in statements}
    return plan


def read(settings: Settings, *, prune: bool = False, open_client: Callable[[], Client] | None = None) -> Plan:
    """The plan for the node of the settings, costs included. Raises what `chctl.migrate.ERRORS` names."""
    project = Project.read(settings.project_dir)
    with opened(settings, open_client) as client:
        return make_plan(client, settings.clickhouse_database, project, prune=prune, costs=True)


def half_done(book: Book, applied: dict[str, Applied]) -> set[str]:
    """Objects that a run began to change and did not record: what differs on the node is chctl's own work."""
    if not applied:
        return set()
    rows = book.history("kind NOT IN ('migration', 'rollback')")
    return {r.object for r in rows if r.object in applied and r.updated_at > applied[r.object].applied_at}


def pending_migrations(
    client: Client, database: str, migrations: list[MigrationFile], initialized: bool
) -> tuple[list[MigrationFile], list[str]]:
    """Migrations that the node has not seen, and what is wrong with those it has."""
    rows: Iterable[Any] = ()
    if initialized:
        rows = client.query(
            f"SELECT version, argMax(md5, created_at), toString(max(created_at)) FROM {database}.{VERSIONS}"
            " GROUP BY version ORDER BY version"
        ).result_rows
    seen = {version: (md5, at) for version, md5, at in rows}
    files = {m.version: m for m in migrations}
    refusals = []
    for version, (md5, at) in seen.items():
        file = files.get(version)
        if file is None:
            refusals.append(
                f"migrations/{version:04d}_*.sql:1: applied at {at} and missing here: restore the file; to undo a "
                f"migration write a new one"
            )
        elif file.md5 != md5:
            refusals.append(
                f"{file.path}:1: applied at {at} and edited since: restore it (`git log -p -- {file.path}`) and put "
                f"the change into a new migration"
            )
    pending = [m for m in migrations if m.version not in seen]
    late = [m for m in pending if seen and m.version < max(seen)]
    refusals += [f"{m.path}:1: comes before {max(seen):04d}, which is applied: give it the next number" for m in late]
    return pending, refusals


def unparsable(client: Client, placed: Iterable[tuple[str, Statement]]) -> list[str]:
    """Statements of (path, statement) that the node's own parser does not take, as `path:line: message`."""
    found = [(path, statement.line, statement.sql) for path, statement in placed]
    refusals = []
    for chunk in _chunks(found):
        array = ", ".join(quote_string(sql.rstrip("; \n")) for _, _, sql in chunk)
        parsed = client.query(
            f"SELECT formatQueryOrNull(arrayJoin([{array}])) IS NULL", settings={"max_query_size": 10_000_000}
        ).result_rows
        for (path, line, sql), (bad,) in zip(chunk, parsed, strict=True):
            if bad:
                refusals.append(f"{path}:{line}: {_syntax_error(client, sql)}")
    return refusals


def _chunks(found: list[tuple[str, int, str]]) -> Iterable[list[tuple[str, int, str]]]:
    chunk: list[tuple[str, int, str]] = []
    size = 0
    for item in found:
        if chunk and size + len(item[2]) > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += len(item[2])
    if chunk:
        yield chunk


def _syntax_error(client: Client, sql: str) -> str:
    """What the node's parser says about a statement."""
    try:
        client.query(f"SELECT formatQuery({quote_string(sql.rstrip('; '))})", settings={"max_query_size": 10_000_000})
    except ClickHouseError as error:
        return "the node cannot parse it: " + str(error).partition("DB::Exception: ")[2].split(": In scope")[0]
    return "the node cannot parse it"


def plan_views(
    client: Client,
    database: str,
    views: list[View],
    applied: dict[str, Applied],
    plan: Plan,
    overwrite: Collection[str] = (),
) -> None:
    """Add the changes of `views`, already in order, and what is refused of them."""
    targets = {v.definition.target for v in views if v.definition.target}
    live = live_objects(client, database, {v.name for v in views} | targets)
    columns = table_columns(client, database, targets)
    touched = {v.name for v in views}
    made_here = {v.name for v in views if v.name not in live}
    for view in views:
        want = view.definition
        target = live.get(want.target or "")
        try:
            output: dict[str, str] = {}
            unsure = bool(want.query and want.reads & touched)
            if want.query and not want.reads & made_here:
                output = describe(client, want.query, later=unsure or bool(plan.migrations))
            change = change_of(
                view,
                live.get(view.name),
                applied.get(view.name),
                columns.get(want.target or "", {}),
                output,
                {"Kafka": "kafka", "Null": "null"}.get(target.engine, "table") if target else "table",
                view.name in overwrite,
            )
        except RefusedError as error:
            plan.refusals.append(str(error))
        except SqlError as error:
            plan.refusals.append(f"{view.path}:{view.line}: {view.name} on the node is of a kind chctl cannot: {error}")
        except ClickHouseError as error:
            plan.refusals.append(f"{view.path}:{view.line}: {_first_line(error)}")
        else:
            if change is not None:
                plan.changes.append(replace(change, unsure=unsure))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def plan_drops(client: Client, database: str, gone: list[Applied], plan: Plan, prune: bool) -> None:
    """Add what --prune drops; without it the objects are only named."""
    if not prune:
        plan.orphans = sorted(a.name for a in gone)
        return
    names = {a.name for a in gone}
    live = live_objects(client, database)
    views = [View(a.path, a.sha256, parse_object(a.sql), "") for a in gone]
    for view in reversed(apply_order(views)):
        users = sorted(n for n, o in live.items() if n not in names and view.name in _uses(o))
        if users:
            plan.refusals.append(f"{view.path}:1: {view.name} is used by {', '.join(users)}: change those first")
        elif view.definition.kind == "table" and live[view.name].rows:
            plan.refusals.append(
                f"{view.path}:1: {view.name} holds {live[view.name].rows} rows: restore the file, or write a migration "
                f"that says DROP TABLE"
            )
        else:
            sql = f"DROP {_DROPS.get(view.definition.kind, 'VIEW')} IF EXISTS {view.name}"
            plan.changes.append(
                Change(view.name, view.definition.kind, "drop", view.path, (sql,), view.definition.sql, "")
            )


def _uses(live: Live) -> set[str]:
    """What an object of the node reads and writes."""
    try:
        definition = live.definition()
    except SqlError:
        return set()
    return set(definition.reads) | {definition.target or ""}


def risks(change: Change) -> Iterable[str]:
    """What a DBA should know before a change of a view, beside the cost of its statements."""
    if change.action == "recreate":
        yield "reading pauses until the new table has joined its consumer group, some seconds; the offsets stay"
    if any(" ADD COLUMN " in sql for sql in change.statements) and change.view and change.view.definition.target:
        yield "adds columns to its table, their types taken from the query"
    if change.action == "modify" and change.kind == "mv":
        yield "rows that were written before keep the old computation: `chctl rebuild` recomputes a window"
    if change.action == "drop":
        yield "what it computes ends here"


def show(plan: Plan) -> str:
    """A plan in words."""
    lines: list[str] = []
    for migration in plan.migrations:
        lines.append(f"migration {migration.path}")
        lines += [line for s in migration.statements for line in _show_statement(s.sql, plan)]
    for change in plan.changes:
        lines.append(f"{change.action} {change.kind} {change.object} ({change.path})")
        lines += [f"  {line}" for line in change.diff.splitlines()]
        if change.action == "record":
            lines.append("  only comments or white space differ: nothing runs on the object")
        lines += [line for sql in (*change.statements, *change.late) for line in _show_statement(sql, plan)]
        lines += [f"  ! {risk}" for risk in risks(change)]
    lines += [f"refused {refusal}" for refusal in plan.refusals]
    lines += [f"kept {name}: its file is gone; --prune drops it" for name in plan.orphans]
    if plan.empty:
        lines.append("nothing to do")
    return "\n".join(lines)


def _show_statement(sql: str, plan: Plan) -> Iterable[str]:
    found = plan.costs.get(sql, Cost("metadata"))
    yield f"  [{found}] {headline(sql)}"
    yield from (f"  ! {risk}" for risk in found.risks)
