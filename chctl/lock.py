"""One run at a time: the lock of a database, its holder's heartbeat, and what becomes of a dead holder's lock.

Where the lock stands is a slot's business: a table of this server, or a row in Keeper, which every server of a cluster
sees (chctl.lock_slots). A holder on this host whose process is gone is taken over at once; a holder elsewhere after
`STALE_S` without a heartbeat.
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

from chctl.bookkeeping import whoami
from chctl.errors import LockedError, LockLostError
from chctl.lock_slots import Slot, TableSlot, find_slot, make_slot

log = structlog.get_logger()

HEARTBEAT_S = 3.0
#: Seconds without a heartbeat after which a holder on another host counts as dead.
STALE_S = 30.0


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
        self._slot: Slot = TableSlot(database)

    def current(self, client: Client) -> tuple[Holder, float] | None:
        """The holder and the age of its last heartbeat in seconds, or None where nobody holds the lock."""
        found = find_slot(client, self.database).look(client)
        return (Holder(**json.loads(found[0])), found[1]) if found else None

    def acquire(self, client: Client, wait_s: float) -> None:
        """Take the lock, waiting up to `wait_s` seconds. Raises LockedError, which names the holder."""
        self._slot = make_slot(client, self.database)
        deadline = time.monotonic() + wait_s
        told = False
        while not self._slot.take(client, self._mine):
            found = self._slot.look(client)
            if found is None:
                continue
            text, age = found
            holder = Holder(**json.loads(text))
            if holder.is_dead(age):
                log.warning("taking over the lock of a dead run", holder=str(holder), heartbeat_age_s=age)
                self._slot.bury(client, text)
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

    @property
    def _mine(self) -> str:
        return json.dumps(vars(self.holder))

    def verify(self, client: Client) -> None:
        """Raise LockLostError where another run holds the lock now; asked before each statement."""
        if self._slot.holder(client) != self._mine:
            raise LockLostError(
                "another run has taken the lock over, since this one gave no sign of life: "
                "nothing more is run from here; look at `chctl status`"
            )

    def release(self, client: Client) -> None:
        """Give the lock back; a lock that is another's by now is left alone."""
        if self._slot.holder(client) == self._mine:
            self._slot.free(client, self._mine)

    def _beat(self, client: Client) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                self._slot.beat(client, self._mine)
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
            beats.join(HEARTBEAT_S)  # its last write and the release are not to meet
            try:
                self.release(client)
            except ClickHouseError as error:  # the server is gone: what went wrong in the block is the news
                log.warning("the lock stays, the next run takes it over", error=str(error).split("(")[0])
