"""`chctl migrate`: bring the node to what migrations/ and views/ say, and leave a record of it.

Whatever can be refused is refused before the first statement. With nothing to do, little is imported and nothing
written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from chctl.bookkeeping import Book
from chctl.changes import Change
from chctl.clickhouse import connect
from chctl.errors import ContractError, LockedError, LockLostError, MigrateError
from chctl.node_state import database_exists
from chctl.plan import make_plan
from chctl.project import Project
from chctl.settings import Settings
from chctl.views import FileError

#: What the commands around migrations raise and print as one message.
ERRORS = (MigrateError, FileError, ContractError, LockedError, LockLostError, ClickHouseError)


@dataclass
class Report:
    """What a run did."""

    migrations: list[str] = field(default_factory=list)  # file names
    changes: list[Change] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # optional statements that this engine cannot run
    resumed: str = ""  # where a dead run had stopped
    orphans: list[str] = field(default_factory=list)  # objects whose file is gone
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.migrations or self.changes)


@dataclass(frozen=True)
class Options:
    """How a run goes about it."""

    wait_s: float = 60.0  # for another run that holds the lock
    prune: bool = False  # drop objects whose file is gone
    overwrite: tuple[str, ...] = ()  # objects whose live edits give way to their files
    interrupted: str = ""  # "again" or "done": what to do with a waived statement that a crash left open


def migrate(
    settings: Settings,
    options: Options | None = None,
    *,
    open_client: Callable[[], Client] | None = None,
    before_work: Callable[[], None] | None = None,
) -> Report:
    """Apply pending migrations and changed views. Twice in a row, the second run changes nothing.

    `open_client` opens a client on the node (default: from the settings); `before_work` is called once it is known that
    there is something to do. Raises what `ERRORS` names.
    """
    options = options or Options()
    started = time.monotonic()
    database = settings.clickhouse_database
    project = Project.read(settings.project_dir)
    if options.interrupted not in ("", "again", "done"):
        raise MigrateError(f"--interrupted {options.interrupted}: say again or done")
    if unknown := set(options.overwrite) - {view.name for view in project.views}:
        raise MigrateError(f"--overwrite {', '.join(sorted(unknown))}: views/ has no such file")
    opener = open_client or (lambda: connect(settings, database=""))
    client = opener()
    try:
        report = Report()
        exists = database_exists(client, database)
        if exists:
            client.database = database
        book = Book(client, database)
        plan = make_plan(client, database, project, prune=options.prune, overwrite=options.overwrite)
        report.orphans = plan.orphans
        if plan.refusals:
            raise MigrateError("refused, nothing was run:\n" + "\n".join(plan.refusals))
        if not plan.empty:
            from chctl.apply import Runner, apply  # with the library and the log, a quarter of a second of imports
            from chctl.lock import Lock

            if before_work:
                before_work()
            if not exists:  # only now: what is refused leaves nothing behind
                client.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
                client.database = database
            lock = Lock(opener, database)
            with lock.held(client, options.wait_s):
                apply(Runner(client, book, lock), database, project, options, report)
        report.seconds = time.monotonic() - started
        return report
    finally:
        client.close()


def summary(report: Report) -> str:
    """A run in words."""
    lines = [f"applied {name}" for name in report.migrations]
    lines += [f"skipped {what}" for what in report.skipped]
    lines += [f"{change.action:<8} {change.kind} {change.object}" for change in report.changes]
    if report.resumed:
        lines.insert(0, report.resumed)
    lines += [f"kept {name}: its file is gone; --prune drops it" for name in report.orphans]
    lines.append(f"{'done' if report.changed else 'nothing to do'} in {report.seconds:.2f} s")
    return "\n".join(lines)
