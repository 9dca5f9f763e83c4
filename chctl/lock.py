"""One run at a time, without Keeper: `CREATE TABLE schema_lock` is atomic, so who creates it holds the lock.

The table's comment names the holder (user, host, pid, process start) and cannot be written apart from taking the
lock. The holder's heartbeat is a row in the table. A holder on this host whose process is gone is taken over at once; a
holder elsewhere after `STALE_S` without a heartbeat. Take-over renames the dead lock to a name that holds its id: of
two runs that try, one fails, since that name exists.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.schema_dump import quote_string

from chctl.bookkeeping import LOCK, whoami

log = structlog.get_logger()

HEARTBEAT_S = 3.0
#: Seconds without a heartbeat after which a holder on another host counts as dead.
STALE_S = 30.0


class LockedError(Exception):
    """Somebody else is migrating this database."""


class LockLostError(Exception):
    """This run was taken for dead and another one holds the lock now."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock; `process_start` is the kernel's start tick, which tells a reused pid."""

    id: str
    who: str
    host: str
    pid: int
    process_start: str

    def __str__(self) -> str:
        return f"{self.who}, pid {self.pid}"

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        return cls(uuid4().hex, whoami(), socket.gethostname(), os.getpid(), process_start(os.getpid()))

    def is_dead(self, heartbeat_age_s: float) -> bool:
        """Whether the holder cannot be at work any more."""
        if self.host == socket.gethostname():
            return process_start(self.pid) != self.process_start
        return heartbeat_age_s > STALE_S


def process_start(pid: int) -> str:
    """When a process of this host started, in kernel ticks since boot; '' where it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


class Lock:
    """The lock of one database."""

    def __init__(self, connect: Callable[[], Client], database: str) -> None:
        self._connect, self.database, self.holder = connect, database, Holder.me()
        self._stop = threading.Event()
        self._table = f"{database}.{LOCK}"

    def current(self, client: Client) -> tuple[Holder, float] | None:
        """The holder and the age of its last heartbeat in seconds, or None where nobody holds the lock."""
        found = client.query(
            "SELECT comment, dateDiff('second', metadata_modification_time, now()) FROM system.tables"
            f" WHERE database = '{self.database}' AND name = '{LOCK}'"
        ).result_rows
        if not found:
            return None
        holder = Holder(**json.loads(found[0][0]))
        age = float(found[0][1])
        try:
            beats = client.query(f"SELECT dateDiff('millisecond', max(beat), now64(3)) / 1000 FROM {self._table}")
            age = min(age, float(beats.result_rows[0][0]))
        except ClickHouseError:
            pass  # released meanwhile
        return holder, age

    def _try(self, client: Client) -> bool:
        comment = quote_string(json.dumps(vars(self.holder)))
        try:
            client.command(f"CREATE TABLE {self._table} (beat DateTime64(3)) ENGINE = Memory COMMENT {comment}")
        except ClickHouseError as error:
            if "already exists" in str(error):
                return False
            raise
        return True

    def acquire(self, client: Client, wait_s: float) -> None:
        """Take the lock, waiting up to `wait_s` seconds. Raises LockedError, which names the holder."""
        deadline = time.monotonic() + wait_s
        told = False
        while not self._try(client):
            found = self.current(client)
            if found is None:
                continue
            holder, age = found
            if holder.is_dead(age):
                log.warning("taking over the lock of a dead run", holder=str(holder), heartbeat_age_s=age)
                self._bury(client, holder)
                continue
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{holder} is migrating {self.database} (last sign of life {age:.0f} s ago): "
                    "try again later or wait longer with --wait"
                )
            if not told:
                log.info("waiting for another run", holder=str(holder), up_to_s=wait_s)
                told = True
            time.sleep(0.1)

    def _bury(self, client: Client, dead: Holder) -> None:
        """Move a dead holder's lock out of the way; only one of several runs can."""
        grave = f"{self._table}_{dead.id}"
        try:
            client.command(f"RENAME TABLE {self._table} TO {grave}")
        except ClickHouseError as error:
            log.info("another run took the lock over first", detail=str(error).split("(")[0])

    def verify(self, client: Client) -> None:
        """Raise LockLostError where another run holds the lock now; asked before each statement."""
        found = client.query(
            f"SELECT comment FROM system.tables WHERE database = '{self.database}' AND name = '{LOCK}'"
        ).result_rows
        if not found or json.loads(found[0][0])["id"] != self.holder.id:
            raise LockLostError(
                "another run has taken the lock over, since this one gave no sign of life: "
                "nothing more is run from here; look at `chctl status`"
            )

    def release(self, client: Client) -> None:
        """Give the lock back; a lock that is another's by now is left alone."""
        try:
            self.verify(client)
        except LockLostError:
            return
        client.command(f"DROP TABLE IF EXISTS {self._table}")
        old = client.query(
            "SELECT name FROM system.tables"
            f" WHERE database = '{self.database}' AND startsWith(name, '{LOCK}_')"
            " AND metadata_modification_time < now() - INTERVAL 1 DAY"
        ).result_rows
        for (name,) in old:
            client.command(f"DROP TABLE IF EXISTS {self.database}.{name}")

    def _beat(self, client: Client) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                client.command(f"TRUNCATE TABLE {self._table}")
                client.command(f"INSERT INTO {self._table} SELECT now64(3)")
            except ClickHouseError as error:
                log.warning("no heartbeat", error=str(error).split("(")[0])

    @contextmanager
    def held(self, client: Client, wait_s: float) -> Iterator[Lock]:
        """Hold the lock for the duration of the block."""
        self.acquire(client, wait_s)
        beats = threading.Thread(target=lambda: self._beat(self._connect()), name="schema-lock", daemon=True)
        beats.start()
        try:
            yield self
        finally:
            self._stop.set()
            self.release(client)
