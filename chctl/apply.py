"""Running what a plan says: each statement recorded before and after it runs, while this run holds the lock.

Migrations run through clickhouse-migrations; its connection is ours, so that a statement that a dead run has finished
is not run again. Then the files of views/ that changed are applied in dependency order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.exceptions import MigrationException
from clickhouse_migrations.migrator import Migrator

from chctl.bookkeeping import VERSIONS, Applied, Book, utc_now, whoami
from chctl.changes import TRIAL, Change
from chctl.errors import MigrateError
from chctl.idempotence import waiver, why_not_idempotent
from chctl.library import Cluster
from chctl.lock import Lock
from chctl.migrate import Options, Report
from chctl.node_state import live_objects
from chctl.optional import refusal
from chctl.plan import Plan, make_plan, plan_views
from chctl.project import MigrationFile, Project
from chctl.resume import ResumePoint, interrupted, read_resume_point

log = structlog.get_logger()

#: Longest wait for a Kafka table that was made anew to get its partitions back, in seconds.
REJOIN_S = 15.0


@dataclass(frozen=True)
class Step:
    """One statement that clickhouse-migrations is about to run."""

    version: int
    path: str
    md5: str
    step: int
    sql: str
    kind: str = "migration"  # or rollback
    optional: str = ""  # words with which an engine may refuse it (chctl/optional.py)


class Runner:
    """Runs statements one at a time, each recorded, as long as this run holds the lock."""

    def __init__(self, client: Client, book: Book, lock: Lock) -> None:
        self.client, self.book, self.lock = client, book, lock
        self.steps: deque[Step] = deque()
        self.done: set[tuple[str, str, int]] = set()
        self.paths: dict[int, str] = {}
        self.recorded: list[str] = []
        self.skipped: list[str] = []

    def expect(self, steps: Iterable[Step]) -> None:
        """Say which statements clickhouse-migrations is about to run, so that they can be told from its own."""
        self.steps = deque(steps)

    def run(self, sql: str, optional: str = "", **what: Any) -> float:
        """Run one statement; returns seconds. Raises MigrateError, which names it.

        Refused with the words of `optional`, it is skipped with a notice.
        """
        self.lock.verify(self.client)
        row = self.book.start(statement=sql, **what)
        started = time.monotonic()
        try:
            self.client.command(sql)
        except ClickHouseError as error:
            where = f"{what['path']}, statement {what['step']}"
            if optional and optional in str(error):
                self.book.end(row, "skipped", time.monotonic() - started, str(error))
                self.skipped.append(f"{where}: this engine does without it ({optional})")
                return time.monotonic() - started
            self.book.end(row, "failed", time.monotonic() - started, str(error))
            with suppress(ClickHouseError):  # a server that is gone keeps the row that says "started"
                self.book.flush()
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
        self.run(sql, step.optional, kind=step.kind, **what)
        return True

    def migrations_recorded(self, versions: list[dict[str, Any]]) -> None:
        """Close the history of migrations that clickhouse-migrations has just recorded as applied."""
        for row in versions:
            path = self.paths[row["version"]]
            what = {"kind": "migration", "object": str(row["version"]), "path": path, "sha256": row["md5"]}
            self.book.end(self.book.start(statement=f"-- recorded in {VERSIONS}", step=0, **what), "done", 0.0)
            self.recorded.append(Path(path).name)


def apply(runner: Runner, database: str, project: Project, options: Options, report: Report) -> None:
    """Everything a run does once it holds the lock."""
    client, book = runner.client, runner.book
    book.create()
    plan = make_plan(client, database, project, prune=options.prune, overwrite=options.overwrite)
    if plan.refusals:
        raise MigrateError("refused, nothing was run:\n" + "\n".join(plan.refusals))
    if plan.migrations:
        _apply_migrations(runner, database, project, plan.migrations, options, report)
        # A migration may have made what a view waits for: plan the views against the node as it is now.
        plan = make_plan(client, database, project, prune=options.prune, overwrite=options.overwrite)
        if plan.refusals:
            raise MigrateError("migrations were applied, the views are refused:\n" + "\n".join(plan.refusals))
    changing = {change.object for change in plan.changes}
    if not report.resumed and (stopped := [row for row in interrupted(book) if row.object in changing]):
        report.resumed = f"{stopped[-1].where}: going on there"
        log.warning(report.resumed)
    for planned in plan.changes:
        change = _planned_again(runner, database, planned) if planned.unsure else planned
        seconds = _run_change(runner, change, change.statements)
        if change.action == "recreate":
            _wait_until_reading(client, database, change.object)
        if not change.late:
            _record(runner, database, change, seconds)
        report.changes.append(change)
    for change in report.changes:
        if change.late:
            _record(runner, database, change, _run_change(runner, change, change.late, len(change.statements)))


def _planned_again(runner: Runner, database: str, planned: Change) -> Change:
    """The change of an object that reads what this run has changed, now that the node can say what its query gives."""
    if planned.view is None:
        return planned
    plan = Plan()
    plan_views(runner.client, database, [planned.view], runner.book.objects(), plan, {planned.object})
    if plan.refusals:
        raise MigrateError("refused, after the changes before it were applied:\n" + "\n".join(plan.refusals))
    return plan.changes[0] if plan.changes else planned


def _apply_migrations(
    runner: Runner,
    database: str,
    project: Project,
    pending: list[MigrationFile],
    options: Options,
    report: Report,
) -> None:
    """Run pending migrations through clickhouse-migrations, going on where a dead run stopped."""
    point = read_resume_point(runner.book, pending)
    runner.done = point.done
    if point.stopped:
        report.resumed = f"{point.stopped[-1].where}: going on there"
        log.warning(report.resumed)
    _settle(point, pending, runner, options.interrupted)
    runner.paths = {m.version: m.path for m in project.migrations}
    runner.expect(
        Step(m.version, m.path, m.md5, i + 1, sql, optional=refusal(m.statements[i]))
        for m in pending
        for i, sql in enumerate(Migrator.script_to_statements(m.script, True))
    )
    try:
        known = [m.migration for m in project.migrations]
        Cluster(runner.client, runner).apply_migrations(database, known, create_db_if_no_exists=False)
    except MigrationException as error:
        raise MigrateError(str(error)) from error
    finally:
        report.migrations += runner.recorded
        report.skipped += runner.skipped
    runner.book.flush()


def _settle(point: ResumePoint, pending: list[MigrationFile], runner: Runner, answer: str) -> None:
    """Decide about statements that may or may not have run and must not run twice. Raises MigrateError to ask."""
    by_version = {str(m.version): m for m in pending}
    for row in point.stopped:
        migration = by_version.get(row.object)
        if row.state != "started" or migration is None or not 0 < row.step <= len(migration.statements):
            continue
        reason = waiver(migration.statements[row.step - 1])
        if reason is None or why_not_idempotent(row.statement) is None:
            continue
        if answer == "done":
            runner.done.add((row.object, row.sha256, row.step))
            runner.book.end(row, "done", 0.0, "taken as done: --interrupted done")
            runner.book.flush()
        elif answer != "again":
            raise MigrateError(
                f"{row.where}; it is not idempotent ({reason}) and may or may not have run.\n  {row.statement}\n"
                "Look at the node, then run `chctl migrate --interrupted done` or `--interrupted again`"
            )


def _run_change(runner: Runner, change: Change, statements: Iterable[str], done: int = 0) -> float:
    """Run statements of one object; seconds."""
    what = {"kind": change.kind, "object": change.object, "path": change.path}
    sha256 = change.view.sha256 if change.view else ""
    try:
        return sum(runner.run(sql, step=done + i, sha256=sha256, **what) for i, sql in enumerate(statements, 1))
    except MigrateError:
        if change.kind == "dictionary" and change.action == "replace":
            runner.client.command(f"DROP DICTIONARY IF EXISTS {change.object}{TRIAL}")
        raise


def _wait_until_reading(client: Client, database: str, table: str) -> None:
    """Wait until a Kafka table that was made anew has its partitions; says so where that takes too long.

    The next change is made to a table that reads: an embedded broker (Tansu) does not recover from a member that leaves
    its group in the middle of joining it.
    """
    where = f"database = '{database}' AND"
    sql = f"SELECT countIf(notEmpty(assignments.topic)) FROM system.kafka_consumers WHERE {where} table = '{table}'"
    views = f"SELECT length(dependencies_table) FROM system.tables WHERE {where} name = '{table}'"
    if not client.query(views).result_rows[0][0]:  # nothing reads from it, or it writes
        return
    deadline = time.monotonic() + REJOIN_S
    while time.monotonic() < deadline:
        if client.query(sql).result_rows[0][0]:
            return
        time.sleep(0.05)
    log.warning("no partitions yet: is the broker up?", table=table, waited_s=REJOIN_S)


def _record(runner: Runner, database: str, change: Change, seconds: float) -> None:
    """Record an object as applied with what the node shows of it, or as dropped."""
    shown = live_objects(runner.client, database, [change.object]).get(change.object)
    dropped = change.action == "drop"
    runner.book.record(
        Applied(
            change.object,
            change.kind,
            "" if dropped else change.path,
            change.view.sha256 if change.view else "",
            change.after,
            shown.create_sql if shown and not dropped else "",
            whoami(),
            seconds * 1000,
            utc_now(),
        )
    )
