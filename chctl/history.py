"""`chctl history`: which statement ran when, by whom, for how long; `chctl baseline` and `chctl rollback` add to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.exceptions import MigrationException
from clickhouse_migrations.migrator import Migrator

from chctl.apply import Runner, Step
from chctl.bookkeeping import VERSIONS, Applied, Book, HistoryRow, utc_now, whoami
from chctl.clickhouse import connect
from chctl.drift import drift
from chctl.library import Cluster
from chctl.lock import Lock
from chctl.migrate import MigrateError
from chctl.node_state import database_exists, live_objects, opened
from chctl.plan import unparsable
from chctl.project import Project
from chctl.settings import Settings
from chctl.sqltext import headline
from chctl.views import read_sql


def history(settings: Settings, last: int = 50, *, open_client: Callable[[], Client] | None = None) -> list[HistoryRow]:
    """The last statements that chctl ran on the node, oldest first."""
    with opened(settings, open_client) as client:
        book = Book(client, settings.clickhouse_database)
        return book.history(limit=last) if book.exists() else []


def as_dicts(rows: list[HistoryRow]) -> list[dict[str, Any]]:
    """For --json."""
    return [asdict(row) for row in rows]


def show(rows: list[HistoryRow]) -> str:
    """History in words, one line a statement."""
    lines = [
        f"{row.started_at} {row.who:<20} {row.state:<8}{row.duration_ms:>8.0f} ms  {row.path}  "
        f"{headline(row.statement) or row.statement.lstrip('- ')}{'  ' + row.error if row.error else ''}"
        for row in rows
    ]
    return "\n".join(lines) or "nothing has been run yet"


def baseline(settings: Settings, version: int, *, open_client: Callable[[], Client] | None = None) -> list[str]:
    """Take a node over that exists already: record migrations up to `version`, and views as they are, as applied.

    Runs nothing. Refused (MigrateError) where the node has a history, or where a file of views/ differs from the node.
    """
    project = Project.read(settings.project_dir)
    database = settings.clickhouse_database
    opener = open_client or (lambda: connect(settings, database=""))
    different = [d for d in drift(settings, open_client=open_client) if d.state == "changed"]
    if different:
        listed = "\n".join(f"{d.object} ({d.path})\n{d.diff}" for d in different)
        raise MigrateError(f"these views differ from the node: `chctl adopt` them or correct the files\n{listed}")
    with opened(settings, opener) as client:
        if not database_exists(client, database):
            raise MigrateError(f"there is no database {database} to take over: `chctl migrate` makes a new one")
    with opened(settings, opener) as client, Lock(opener, database).held(client, 0):
        book = Book(client, database)
        book.create()
        cluster = Cluster(client)
        try:
            cluster.baseline(database, project.dir / "migrations", version, create_db_if_no_exists=False)
        except MigrationException as error:
            raise MigrateError(str(error)) from error
        live = live_objects(client, database, {v.name for v in project.views})
        for view in project.views:
            if view.name in live:
                kind, shown = view.definition.kind, live[view.name].create_sql
                sql = view.definition.sql
                row = Applied(view.name, kind, view.path, view.sha256, sql, shown, whoami(), 0.0, utc_now())
                book.record(row)
        return [m.name for m in project.migrations if m.version <= version]


def rollback(settings: Settings, steps: int = 1, *, open_client: Callable[[], Client] | None = None) -> list[str]:
    """Undo the last `steps` migrations by their .down.sql; names of the migrations undone.

    Refused (MigrateError) before anything runs where one of them has no .down.sql.
    """
    project = Project.read(settings.project_dir)
    database = settings.clickhouse_database
    opener = open_client or (lambda: connect(settings, database=""))
    with opened(settings, opener) as client:
        book = Book(client, database)
        if not book.exists():
            raise MigrateError("nothing has been applied here")
        with Lock(opener, database).held(client, 0) as lock:
            runner = Runner(client, book, lock)
            applied = {
                row[0] for row in client.query(f"SELECT DISTINCT version FROM {database}.{VERSIONS}").result_rows
            }
            last = [m for m in reversed(project.migrations) if m.version in applied][:steps]
            for migration in last:
                if migration.down is None:
                    raise MigrateError(
                        f"{migration.path} has no {migration.name.removesuffix('.sql')}.down.sql: write one, or a new "
                        f"migration that goes on from here"
                    )
            placed = [(str(m.down), s) for m in last for s in m.down_statements]
            if broken := unparsable(client, placed):
                raise MigrateError("refused, nothing was run:\n" + "\n".join(broken))
            runner.expect(
                Step(m.version, str(m.down), m.md5, i + 1, sql, "rollback")
                for m in last
                for i, sql in enumerate(
                    Migrator.script_to_statements(read_sql(project.dir / str(m.down), str(m.down))[0], True)
                )
            )
            Cluster(client, runner).rollback(database, project.dir / "migrations", steps=len(last))
            book.flush()
    return [m.name for m in last]
