"""`chctl status`: where a node stands: migrations, views, the lock, and statements that a run stopped at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from clickhouse_connect.driver.client import Client

from chctl.bookkeeping import Book, HistoryRow
from chctl.lock import Lock
from chctl.node_state import opened
from chctl.plan import make_plan
from chctl.project import Project
from chctl.resume import interrupted
from chctl.settings import Settings


@dataclass
class Status:
    """Counts and names; times are UTC."""

    database: str
    migrations: int
    views: int
    pending_migrations: list[str]
    pending_views: list[str]
    refusals: list[str]
    holder: str = ""
    stopped_at: list[HistoryRow] = field(default_factory=list)

    @property
    def up_to_date(self) -> bool:
        """Whether `chctl migrate` would do nothing."""
        return not (self.pending_migrations or self.pending_views or self.refusals)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self) | {"up_to_date": self.up_to_date})


def read(settings: Settings, *, open_client: Callable[[], Client] | None = None) -> Status:
    """Look at the node of the settings; changes nothing. Raises what `chctl.migrate.ERRORS` names."""
    project = Project.read(settings.project_dir)
    database = settings.clickhouse_database
    with opened(settings, open_client) as client:
        plan = make_plan(client, database, project)
        book = Book(client, database)
        held = Lock(lambda: client, database).current(client)
        return Status(
            database,
            len(project.migrations),
            len(project.views),
            [m.path for m in plan.migrations],
            [c.path for c in plan.changes],
            plan.refusals,
            str(held[0]) if held else "",
            [row for row in interrupted(book) if row.path] if book.exists() else [],
        )


def show(status: Status) -> str:
    """A status in words."""
    lines = [
        f"database   {status.database}",
        f"migrations {status.migrations} files, {len(status.pending_migrations)} pending",
        f"views      {status.views} files, {len(status.pending_views)} to apply",
    ]
    lines += [f"  pending  {path}" for path in status.pending_migrations + status.pending_views]
    lines += [f"  refused  {refusal}" for refusal in status.refusals]
    if status.holder:
        lines.append(f"running    {status.holder}")
    lines += [f"{row.where}{': ' + row.error if row.error else ''}" for row in status.stopped_at]
    lines.append("up to date" if status.up_to_date else "run `chctl plan` to see what `chctl migrate` would do")
    return "\n".join(lines)
