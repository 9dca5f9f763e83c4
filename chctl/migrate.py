"""`chctl migrate`: bring the node to what migrations/ and views/ say, and leave a record of it.

Migrations run through clickhouse-migrations; its connection is ours, so that each statement is recorded before and
after it runs, and one that a dead run has finished is not run again. Then the files of views/ that changed are applied
in dependency order. Whatever can be refused is refused before the first statement.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.connection import ClickhouseConnectConnection
from clickhouse_migrations.exceptions import MigrationException
from clickhouse_migrations.migration import Migration, MigrationStorage
from clickhouse_migrations.migrator import STATUS_MD5_MISMATCH, STATUS_PENDING, STATUS_UNKNOWN, Migrator

from chctl.bookkeeping import HISTORY, VERSIONS, Applied, Book, HistoryRow, utc_now, whoami
from chctl.changes import Change
from chctl.clickhouse import connect
from chctl.lock import Lock, LockedError, LockLostError
from chctl.node_state import live_objects
from chctl.plan import Plan, plan_views
from chctl.settings import Settings
from chctl.views import FileError, View, load_views, read_sql

log = structlog.get_logger()


class MigrateError(Exception):
    """A run that could not go on; the message says what to do next."""


#: What the commands around migrations raise and print as one message.
ERRORS = (MigrateError, FileError, LockedError, LockLostError, ClickHouseError)


@dataclass
class Report:
    """What a run did."""

    migrations: list[str] = field(default_factory=list)  # file names
    changes: list[Change] = field(default_factory=list)
    resumed: str = ""  # where a dead run had stopped
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.migrations or self.changes)


class _Connection(ClickhouseConnectConnection):
    """clickhouse-migrations' connection over a client that stays open, recording the migrations' statements."""

    def __init__(self, client: Client, runner: Runner | None = None) -> None:
        super().__init__(client)
        self._runner = runner

    def command(self, statement: str, log_statement: str | None = None) -> None:
        if self._runner is None or not self._runner.migration_statement(statement):
            super().command(statement, log_statement)

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        super().insert(table, rows)
        if self._runner is not None:
            self._runner.migrations_recorded(rows)

    def __exit__(self, *_: object) -> None:
        pass  # the client is the caller's


class Cluster(ClickhouseCluster):
    """clickhouse-migrations on one open client instead of a new one a step."""

    def __init__(self, client: Client, runner: Runner | None = None) -> None:
        super().__init__(driver="clickhouse-connect", migrations_table=VERSIONS)
        self._open = _Connection(client, runner)

    def connection(self, db_name: str | None = None) -> _Connection:  # noqa: ARG002 - the library's signature
        return self._open


@dataclass(frozen=True)
class _Step:
    """One statement of a pending migration."""

    version: int
    path: str
    md5: str
    step: int
    sql: str


class Runner:
    """Runs statements one at a time, each recorded, as long as this run holds the lock."""

    def __init__(self, client: Client, book: Book, lock: Lock) -> None:
        self.client, self.book, self.lock = client, book, lock
        self.steps: deque[_Step] = deque()
        self.done: set[tuple[str, str, int]] = set()
        self.paths: dict[int, str] = {}
        self.recorded: list[str] = []

    def run(self, sql: str, **what: Any) -> float:
        """Run one statement; returns seconds. Raises MigrateError, which names it."""
        self.lock.verify(self.client)
        row = self.book.start(statement=sql, **what)
        started = time.monotonic()
        try:
            self.client.command(sql)
        except ClickHouseError as error:
            self.book.end(row, "failed", time.monotonic() - started, str(error))
            where = f"{what['path']}, statement {what['step']}"
            raise MigrateError(f"{where}: {str(error).strip()}\n  {sql.strip()}") from error
        seconds = time.monotonic() - started
        self.book.end(row, "done", seconds)
        return seconds

    def migration_statement(self, sql: str) -> bool:
        """Run a statement that is the next one of the pending migrations; False where it is none of them."""
        if not self.steps or sql != self.steps[0].sql:
            return False
        step = self.steps.popleft()
        what = {"object": str(step.version), "path": step.path, "sha256": step.md5, "step": step.step}
        if (str(step.version), step.md5, step.step) in self.done:
            log.info("already done by the run that stopped", path=step.path, step=step.step)
            return True
        self.run(sql, kind="migration", **what)
        return True

    def migrations_recorded(self, versions: list[dict[str, Any]]) -> None:
        """Close the history of migrations that clickhouse-migrations has just recorded as applied."""
        for row in versions:
            path = self.paths[row["version"]]
            what = {"kind": "migration", "object": str(row["version"]), "path": path, "sha256": row["md5"]}
            self.book.end(self.book.start(statement=f"-- recorded in {VERSIONS}", step=0, **what), "done", 0.0)
            self.recorded.append(Path(path).name)


def _resume_point(book: Book, pending: list[Migration]) -> tuple[set[tuple[str, str, int]], list[HistoryRow]]:
    """Statements that runs without an end have finished, and those at which a run stopped."""
    wanted = {(str(m.version), m.md5) for m in pending}
    rows = book.rows(
        "SELECT * REPLACE (toString(run_id) AS run_id, toString(started_at) AS started_at,"
        " toString(updated_at) AS updated_at)"
        f" FROM {HISTORY} FINAL ORDER BY updated_at"
    )
    done: set[tuple[str, str, int]] = set()
    open_: dict[tuple[str, int], HistoryRow] = {}
    for fields in rows:
        row = HistoryRow(**fields)
        if row.kind in ("migration", "rollback") and (row.step == 0 or row.kind == "rollback"):
            done = {d for d in done if d[0] != row.object}
            continue
        open_.pop((row.object, row.step), None)
        if row.state == "started":
            open_[row.object, row.step] = row
        elif row.kind == "migration" and row.state == "done" and (row.object, row.sha256) in wanted:
            done.add((row.object, row.sha256, row.step))
    return done, [r for r in open_.values() if r.kind != "migration" or (r.object, r.sha256) in wanted]


def read_migrations(project_dir: Path) -> tuple[list[Migration], dict[int, str]]:
    """The files of migrations/ and version -> path. Raises FileError on one that cannot be used."""
    directory = project_dir / "migrations"
    if not directory.is_dir():
        return [], {}
    for path in sorted(directory.glob("*.sql")):
        read_sql(path, f"migrations/{path.name}")
    storage = MigrationStorage(directory)
    try:
        paths = {v: f"migrations/{n}" for v, n in storage.migration_filenames().items()}
        return storage.migrations(), paths
    except MigrationException as error:
        raise FileError("migrations", str(error)) from error


def pending_migrations(client: Client, database: str, migrations: list[Migration]) -> list[Migration]:
    """Migrations that the node has not seen. Raises MigrateError where an applied one was edited or is missing."""
    initialized = client.query(
        f"SELECT count() FROM system.tables WHERE database = '{database}' AND name = '{VERSIONS}'"
    ).result_rows[0][0]
    if not initialized:
        return migrations
    status = Migrator(_Connection(client), migrations_table=f"{database}.{VERSIONS}").migration_status(migrations)
    for row in status:
        if row.state == STATUS_MD5_MISMATCH:
            raise MigrateError(
                f"migration {row.version} was applied at {row.applied_at} and edited since: restore the file "
                f"(`git log -p -- migrations/`) and put the change into a new migration"
            )
        if row.state == STATUS_UNKNOWN:
            raise MigrateError(
                f"migration {row.version} was applied at {row.applied_at} and its file is missing: restore it; "
                f"to undo a migration write a new one, or a .down.sql and `chctl rollback`"
            )
    wanted = {row.version for row in status if row.state == STATUS_PENDING}
    return [m for m in migrations if m.version in wanted]


@dataclass
class Project:
    """The files a run works from."""

    migrations: list[Migration]
    paths: dict[int, str]
    views: list[View]

    @classmethod
    def read(cls, project_dir: Path) -> Project:
        """Read migrations/ and views/. Raises FileError."""
        migrations, paths = read_migrations(project_dir)
        return cls(migrations, paths, load_views(project_dir))


def make_plan(client: Client, database: str, project: Project) -> Plan:
    """What a run would do now; touches nothing."""
    book = Book(client, database)
    pending = pending_migrations(client, database, project.migrations)
    changes, refusals = plan_views(client, database, project.views, book if book.exists() else None)
    return Plan(pending, changes, refusals)


def migrate(settings: Settings, *, open_client: Callable[[], Client] | None = None, wait_s: float = 60.0) -> Report:
    """Apply pending migrations and changed views. Twice in a row, the second run changes nothing.

    `open_client` opens a client on the node (default: from the settings). Waits up to `wait_s` seconds for another
    run. Raises FileError, MigrateError, LockedError or LockLostError.
    """
    started = time.monotonic()
    database = settings.clickhouse_database
    project = Project.read(settings.project_dir)
    opener = open_client or (lambda: connect(settings, database=""))
    client = opener()
    try:
        report = Report()
        if not _exists(client, database):
            client.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
        client.database = database
        book = Book(client, database)
        if not book.exists() or not make_plan(client, database, project).empty:
            lock = Lock(opener, database)
            with lock.held(client, wait_s):
                _apply(Runner(client, book, lock), database, project, report)
        report.seconds = time.monotonic() - started
        return report
    finally:
        client.close()


def _exists(client: Client, database: str) -> bool:
    return bool(client.query(f"SELECT count() FROM system.databases WHERE name = '{database}'").result_rows[0][0])


def _apply(runner: Runner, database: str, project: Project, report: Report) -> None:
    """Everything a run does once it holds the lock."""
    client, book = runner.client, runner.book
    book.create()
    plan = make_plan(client, database, project)
    if plan.refusals:
        raise MigrateError("refused, nothing was run:\n" + "\n".join(plan.refusals))
    _apply_migrations(runner, database, project, plan.migrations, report)
    # A migration may have made what a view waits for: plan the views against the node as it is now.
    changes, refusals = plan_views(client, database, project.views, book)
    if refusals:
        raise MigrateError("migrations were applied, the views are refused:\n" + "\n".join(refusals))
    for change in changes:
        _apply_change(runner, database, change)
        report.changes.append(change)


def _apply_migrations(
    runner: Runner, database: str, project: Project, pending: list[Migration], report: Report
) -> None:
    """Run pending migrations through clickhouse-migrations, going on where a dead run stopped."""
    if not pending:
        return
    runner.done, stopped = _resume_point(runner.book, pending)
    if stopped:
        last = stopped[-1]
        report.resumed = (
            f"the run of {last.who} (pid {last.pid}) at {last.started_at} UTC stopped at statement {last.step} of "
            f"{last.path}: going on there"
        )
        log.warning(report.resumed)
    runner.paths = project.paths
    runner.steps = deque(
        _Step(m.version, project.paths[m.version], m.md5, i + 1, sql)
        for m in pending
        for i, sql in enumerate(Migrator.script_to_statements(m.script, True))
    )
    try:
        Cluster(runner.client, runner).apply_migrations(database, project.migrations, create_db_if_no_exists=False)
    except MigrationException as error:
        raise MigrateError(str(error)) from error
    finally:
        report.migrations += runner.recorded


def _apply_change(runner: Runner, database: str, change: Change) -> None:
    """Run one object's statements and record what the node shows afterwards."""
    if change.view is None:
        raise MigrateError(f"{change.object}: no file")
    what = {"kind": change.kind, "object": change.object, "path": change.path, "sha256": change.view.sha256}
    seconds = sum(runner.run(sql, step=i + 1, **what) for i, sql in enumerate(change.statements))
    shown = live_objects(runner.client, database, [change.object]).get(change.object)
    runner.book.record(
        Applied(
            change.object,
            change.kind,
            change.path,
            change.view.sha256,
            change.after,
            shown.create_sql if shown else "",
            whoami(),
            seconds * 1000,
            utc_now(),
        )
    )


def summary(report: Report) -> str:
    """A run in words."""
    lines = [f"applied {name}" for name in report.migrations]
    lines += [f"{change.action:<8} {change.kind} {change.object}" for change in report.changes]
    if report.resumed:
        lines.insert(0, report.resumed)
    lines.append(f"{'done' if report.changed else 'nothing to do'} in {report.seconds:.2f} s")
    return "\n".join(lines)
