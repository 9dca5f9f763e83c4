"""`chctl status`: where a node stands: migrations, views, the lock, and statements that a run stopped at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from clickhouse_connect.driver.client import Client

from chctl.bookkeeping import HISTORY, Book
from chctl.clickhouse import connect
from chctl.lock import Lock
from chctl.migrate import Project, make_plan
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
    stopped_at: list[dict[str, str]] = field(default_factory=list)

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
    opener = open_client or (lambda: connect(settings, database=""))
    client = opener()
    try:
        plan = make_plan(client, database, project)
        status = Status(
            database,
            len(project.migrations),
            len(project.views),
            [project.paths[m.version] for m in plan.migrations],
            [c.path for c in plan.changes],
            plan.refusals,
        )
        held = Lock(opener, database).current(client)
        status.holder = str(held[0]) if held else ""
        if Book(client, database).exists():
            rows = client.query(
                f"SELECT path, toString(step), state, statement, error, who, toString(started_at) FROM"
                f" (SELECT path, step, argMax(state, updated_at) AS state, argMax(statement, updated_at) AS statement,"
                f" argMax(error, updated_at) AS error, argMax(who, updated_at) AS who,"
                f" argMax(started_at, updated_at) AS started_at FROM {database}.{HISTORY} GROUP BY object, path, step)"
                " WHERE state IN ('started', 'failed') ORDER BY started_at"
            ).result_rows
            keys = ("path", "step", "state", "statement", "error", "who", "started_at")
            status.stopped_at = [dict(zip(keys, row, strict=True)) for row in rows]
        return status
    finally:
        client.close()


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
    lines += [
        f"{row['state']:<10} statement {row['step']} of {row['path']} at {row['started_at']} by {row['who']}"
        + (f": {row['error']}" if row["error"] else "")
        for row in status.stopped_at
    ]
    lines.append("up to date" if status.up_to_date else "run `chctl plan` to see what `chctl migrate` would do")
    return "\n".join(lines)
