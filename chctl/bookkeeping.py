"""What chctl keeps in the node about its own work: `schema_history` and `schema_objects`.

`schema_history` has one row a statement, written when it starts and replaced when it ends, so that a run that dies
leaves the statement it died at. `schema_objects` has one row an object of views/: the file it came from and the
definition the node showed right after. Applied migrations stand in clickhouse-migrations' own `schema_versions`.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from clickhouse_connect.driver.client import Client

HISTORY = "schema_history"
OBJECTS = "schema_objects"
VERSIONS = "schema_versions"
LOCK = "schema_lock"
KEEPER_LOCK = "schema_lock_keeper"

DDL = (
    f"""CREATE TABLE IF NOT EXISTS {HISTORY}
(
    run_id UUID COMMENT 'one invocation of chctl',
    seq UInt32 COMMENT 'statement within the run',
    state LowCardinality(String) COMMENT 'started, done, failed or skipped',
    kind LowCardinality(String) COMMENT 'migration, rollback, or the kind of a view',
    object String COMMENT 'migration number or name of the object',
    path String,
    sha256 String COMMENT 'of the file; md5 for a migration',
    step UInt32 COMMENT 'statement within the file; 0 records the file as applied',
    statement String,
    error String,
    who String COMMENT 'operating system user and host',
    pid UInt32,
    started_at DateTime64(3, 'UTC'),
    duration_ms Float64,
    updated_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (started_at, run_id, seq)""",
    f"""CREATE TABLE IF NOT EXISTS {OBJECTS}
(
    name String,
    kind LowCardinality(String),
    path String COMMENT 'file it was applied from; empty once dropped',
    sha256 String COMMENT 'of the file',
    sql String COMMENT 'the statement in the file',
    live_sql String COMMENT 'what the node showed after it was applied',
    who String,
    duration_ms Float64,
    applied_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name""",
)


def whoami() -> str:
    """Operating-system user and host, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def utc_now() -> str:
    """Now, UTC, to the microsecond, as ClickHouse reads it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


@dataclass(frozen=True)
class Applied:
    """A row of `schema_objects`."""

    name: str
    kind: str
    path: str
    sha256: str
    sql: str
    live_sql: str
    who: str
    duration_ms: float
    applied_at: str


@dataclass
class HistoryRow:
    """A row of `schema_history`; times are UTC."""

    run_id: str
    seq: int
    state: str
    kind: str
    object: str
    path: str
    sha256: str
    step: int
    statement: str
    error: str = ""
    who: str = field(default_factory=whoami)
    pid: int = field(default_factory=os.getpid)
    started_at: str = field(default_factory=lambda: utc_now()[:-3])
    duration_ms: float = 0.0
    updated_at: str = field(default_factory=utc_now)

    @property
    def where(self) -> str:
        """The run and the statement, in words."""
        what = "failed" if self.state == "failed" else "stopped"
        return (
            f"the run of {self.who} (pid {self.pid}) at {self.started_at} UTC {what} at statement {self.step} of "
            f"{self.path}"
        )


class Book:
    """Reads and writes the bookkeeping tables of one database over one client."""

    def __init__(self, client: Client, database: str) -> None:
        self.client, self.database = client, database
        self.run_id, self.seq = str(uuid4()), 0
        self._ended: list[HistoryRow] = []  # written with the next row: one request a statement instead of two

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The result of a query as one dict a row."""
        return list(self.client.query(sql).named_results())

    def create(self) -> None:
        """Make the bookkeeping tables where they are missing."""
        for statement in DDL:
            self.client.command(statement)

    def insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows in one request."""
        lines = "\n".join(json.dumps(row) for row in rows)
        columns = list(json.loads(lines.partition("\n")[0]))
        self.client.raw_insert(table, column_names=columns, insert_block=lines, fmt="JSONEachRow")

    def start(self, **what: Any) -> HistoryRow:
        """Record that a statement is about to run, and how the one before it ended."""
        self.seq += 1
        row = HistoryRow(run_id=self.run_id, seq=self.seq, state="started", **what)
        self.insert(HISTORY, [asdict(r) for r in (*self._ended, row)])
        self._ended = []
        return row

    def end(self, row: HistoryRow, state: str, seconds: float, error: str = "") -> None:
        """Note how a statement ended; on record with the next `start` or `flush`."""
        row.state, row.duration_ms, row.error, row.updated_at = state, seconds * 1000, error, utc_now()
        self._ended.append(row)

    def flush(self) -> None:
        """Put on record how the last statement ended."""
        if self._ended:
            self.insert(HISTORY, [asdict(row) for row in self._ended])
            self._ended = []

    def exists(self) -> bool:
        """Whether this database has been under chctl before."""
        found = self.rows(
            "SELECT count() AS n FROM system.tables"
            f" WHERE database = '{self.database}' AND name IN ('{HISTORY}', '{OBJECTS}')"
        )
        return int(found[0]["n"]) == 2

    def history(self, where: str = "1", limit: int = 0) -> list[HistoryRow]:
        """Statements by start, the latest state of each; `limit` takes the last ones."""
        columns = ", ".join(
            f"toString({f.name})" if f.name in ("run_id", "started_at", "updated_at") else f.name
            for f in fields(HistoryRow)
        )
        last = f" LIMIT {limit}" if limit else ""
        rows = self.client.query(
            f"SELECT {columns} FROM {self.database}.{HISTORY} FINAL WHERE {where}"
            f" ORDER BY {HISTORY}.started_at DESC, seq DESC{last}"
        ).result_rows
        return [HistoryRow(*row) for row in reversed(rows)]

    def objects(self) -> dict[str, Applied]:
        """Applied objects by name, without dropped ones; none where the database has not been under chctl before."""
        if not self.exists():
            return {}
        columns = "name, kind, path, sha256, sql, live_sql, who, duration_ms, toString(applied_at) AS applied_at"
        found = self.rows(f"SELECT {columns} FROM {self.database}.{OBJECTS} FINAL WHERE path != ''")
        return {row["name"]: Applied(**row) for row in found}

    def last_recorded(self) -> dict[str, str]:
        """When each object was last recorded, as applied or as dropped; UTC."""
        found = self.rows(f"SELECT name, toString(applied_at) AS at FROM {self.database}.{OBJECTS} FINAL")
        return {row["name"]: row["at"] for row in found}

    def record(self, applied: Applied) -> None:
        """Record an object as applied, or with an empty path as dropped."""
        self.flush()
        self.insert(OBJECTS, [asdict(applied)])
