"""What the processes of a group share on a host: the money and tokens they have spent, every answer they have paid for.

SQLite, one file a group on the host. A reservation is checked and added in one step, across processes, and outlives a
crash. Where the group has a budget of all hosts (feeders/analysis/group_budget.py), a reservation has to pass both.

The worst cost of a request is reserved before it is sent and replaced by the real one after it. A process that dies in
between leaves the reservation in place: the cap may be reached early, never late. An answer is stored in the
transaction that settles its cost, before it goes to Kafka: what was paid for is found again after any crash.
"""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feeders.analysis.model import Answer

if TYPE_CHECKING:
    from feeders.analysis.group_budget import GroupBudget

_SCHEMA = """
CREATE TABLE IF NOT EXISTS days (
    day TEXT PRIMARY KEY, usd REAL NOT NULL, tokens INTEGER NOT NULL, requests INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS recent (id TEXT PRIMARY KEY, at REAL NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pauses (reason TEXT PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key INTEGER NOT NULL, model TEXT NOT NULL, score REAL NOT NULL, label TEXT NOT NULL, confidence REAL NOT NULL,
    tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    key INTEGER NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_up (
    key INTEGER NOT NULL, model TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, items TEXT NOT NULL, reservation TEXT NOT NULL, usd REAL NOT NULL, day TEXT NOT NULL,
    at REAL NOT NULL
);
"""

#: Reason of a refusal: nothing more today.
DAILY_CAP = "daily cap"
#: Reason of a refusal: fewer items would fit.
TOO_LARGE = "request larger than the token budget of a minute"

#: How long answers and vectors are kept: as long as social_buzz keeps the posts.
KEEP_SECONDS = 30 * 86_400
#: How long a text that was given up is not asked again: a restart and the day's copies of a post cost nothing.
GIVEN_UP_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """The group's budget. 0 tokens a minute means no limit of that kind; 0 USD means that nothing may be spent."""

    usd_per_day: float
    tokens_per_minute: int
    #: Spend may run this far ahead of an even pace, so that a busy morning does not leave the evening without.
    ahead_hours: float = 24.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """A cost that is counted as spent until `settle` says what it really was."""

    day: str  # UTC
    id: str
    usd: float
    tokens: int
    at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be sent now. `wait` is in seconds; None: not today."""

    reason: str
    wait: float | None


class Ledger:
    """The shared store; every method is one short transaction. Not for use from several threads at once."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        group: GroupBudget | None = None,
    ) -> None:
        self.limits = limits
        self._group = group
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; a power cut may lose the last moment, which is then paid again.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; other processes go on."""
        if self._group:
            self._group.close()
        self._db.close()

    # --- money and tokens

    def reserve(self, usd: float, tokens: int) -> Reservation | Refusal:
        """Count `usd` and `tokens` as spent if the limits allow it."""
        now = self._clock()
        with _transaction(self._db):
            row = self._db.execute(
                "SELECT reason, until FROM pauses WHERE until > ? ORDER BY until DESC", (now,)
            ).fetchone()
            if row:
                return Refusal(row[0], row[1] - now)
            day = _day(now)
            spent = self._spent(day)
            if over_cap(spent + usd, self.limits):
                return Refusal(DAILY_CAP, None)
            self._db.execute("DELETE FROM recent WHERE at <= ?", (now - 60,))
            if self.limits.tokens_per_minute:
                if tokens > self.limits.tokens_per_minute:
                    return Refusal(TOO_LARGE, None)
                recent = self._db.execute("SELECT at, tokens FROM recent ORDER BY at").fetchall()
                wait = wait_for_tokens(recent, tokens, self.limits.tokens_per_minute, now)
                if wait > 0:
                    return Refusal("tokens per minute", wait)
            reservation = Reservation(day, uuid.uuid4().hex, usd, tokens, now)
            self._db.execute("INSERT INTO recent (id, at, tokens) VALUES (?, ?, ?)", (reservation.id, now, tokens))
            self._add(day, usd, tokens, 1)
            return reservation

    async def reserve_for_group(self, usd: float, tokens: int) -> Reservation | Refusal:
        """The same, where the budget of all hosts allows it too. Cancelled, the worst cost stays reserved."""
        outcome = self.reserve(usd, tokens)
        if self._group is None or isinstance(outcome, Refusal):
            return outcome
        refusal = await asyncio.to_thread(self._group.reserve, outcome)
        if refusal is None:
            return outcome
        self._settle_here(outcome, 0.0, 0)
        return refusal

    async def look_at_group(self) -> None:
        """Read what the other hosts have spent, for `affordable` and `spent_usd`."""
        if self._group:
            await asyncio.to_thread(self._group.look, self._clock())

    def settle(
        self,
        reservation: Reservation,
        usd: float,
        tokens: int,
        answers: Mapping[int, Answer] | None = None,
        vectors: Mapping[int, tuple[str, list[float]]] | None = None,
        *,
        batch: str = "",
    ) -> None:
        """Replace a reservation by what the request really cost, and keep what it brought, in one step.

        `batch` ends that batch in the same step; one that is not on record has been settled before.
        """
        if self._settle_here(reservation, usd, tokens, answers, vectors, batch=batch) and self._group:
            self._group.settle(reservation, usd, tokens)

    def _settle_here(
        self,
        reservation: Reservation,
        usd: float,
        tokens: int,
        answers: Mapping[int, Answer] | None = None,
        vectors: Mapping[int, tuple[str, list[float]]] | None = None,
        *,
        batch: str = "",
    ) -> bool:
        now = self._clock()
        with _transaction(self._db):
            if batch and not self._db.execute("DELETE FROM batches WHERE id = ?", (batch,)).rowcount:
                return False
            self._add(reservation.day, usd - reservation.usd, tokens - reservation.tokens, 0)
            self._db.execute("UPDATE recent SET tokens = ? WHERE id = ?", (tokens, reservation.id))
            self._keep(answers or {}, now)
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
                [(_signed(k), m, struct.pack(f"<{len(v)}f", *v), now) for k, (m, v) in (vectors or {}).items()],
            )
        return True

    def pause(self, reason: str, seconds: float) -> None:
        """Nobody of the group sends anything for `seconds`: the provider said so."""
        with _transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?)", (reason, self._clock() + seconds))

    def paused(self, reason: str) -> float:
        """Seconds until the pause of that reason ends; 0 if there is none."""
        row = self._db.execute("SELECT until FROM pauses WHERE reason = ?", (reason,)).fetchone()
        return max(0.0, row[0] - self._clock()) if row else 0.0

    def spent(self) -> tuple[float, int, int]:
        """USD, tokens and requests of this host today (UTC), reservations included."""
        row = self._db.execute(
            "SELECT usd, tokens, requests FROM days WHERE day = ?", (_day(self._clock()),)
        ).fetchone()
        return (row[0], row[1], row[2]) if row else (0.0, 0, 0)

    def spent_usd(self) -> float:
        """USD of the group today (UTC), reservations included; of other hosts what was last read."""
        day = _day(self._clock())
        return max(self._spent(day), self._group.spent(day) if self._group else 0.0)

    def affordable(self) -> tuple[float, int | None]:
        """USD and tokens (None: no limit) that may be spent now, at the pace that the limits set."""
        now = self._clock()
        pace = min(1.0, (now % 86_400 / 3600 + self.limits.ahead_hours) / 24)
        usd = max(0.0, self.limits.usd_per_day * pace - self.spent_usd())
        if not self.limits.tokens_per_minute:
            return usd, None
        (used,) = self._db.execute("SELECT coalesce(sum(tokens), 0) FROM recent WHERE at > ?", (now - 60,)).fetchone()
        used = max(used, self._group.tokens(now) if self._group else 0)
        return usd, max(0, self.limits.tokens_per_minute - used)

    def _spent(self, day: str) -> float:
        row = self._db.execute("SELECT usd FROM days WHERE day = ?", (day,)).fetchone()
        return float(row[0]) if row else 0.0

    def _add(self, day: str, usd: float, tokens: int, requests: int) -> None:
        self._db.execute(
            "INSERT INTO days VALUES (?, ?, ?, ?) ON CONFLICT (day) DO UPDATE SET"
            " usd = usd + excluded.usd, tokens = tokens + excluded.tokens, requests = requests + excluded.requests",
            (day, usd, tokens, requests),
        )

    # --- what was paid for

    def _keep(self, answers: Mapping[int, Answer], now: float) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (_signed(k), a.model, a.score, a.label, a.confidence, a.tokens, a.cost_usd, now)
                for k, a in answers.items()
            ],
        )

    def remember(self, answers: Mapping[int, Answer]) -> None:
        """Keep answers that were paid for elsewhere (found in ClickHouse)."""
        with _transaction(self._db):
            self._keep(answers, self._clock())

    def answers(self, keys: Iterable[int], model: str) -> dict[int, Answer]:
        """Answers of `model` that some process of the group has paid for; they cost nothing any more."""
        found: dict[int, Answer] = {}
        for chunk in _chunks([_signed(k) for k in keys]):
            rows = self._db.execute(
                "SELECT key, score, label, confidence, tokens FROM answers WHERE model = ?"
                f" AND key IN ({_marks(chunk)})",
                (model, *chunk),
            )
            found |= {_unsigned(k): Answer(s, label, c, model, t, 0.0) for k, s, label, c, t in rows}
        return found

    def give_up(self, reasons: Mapping[int, str], model: str) -> None:
        """Keep why `model` could not rate these texts even alone: to ask was paid for too."""
        now = self._clock()
        with _transaction(self._db):
            self._db.executemany(
                "INSERT OR REPLACE INTO given_up VALUES (?, ?, ?, ?)",
                [(_signed(k), model, reason, now) for k, reason in reasons.items()],
            )

    def given_up(self, keys: Iterable[int], model: str) -> dict[int, str]:
        """Reasons of the texts that were given up in the last day."""
        since = self._clock() - GIVEN_UP_SECONDS
        found: dict[int, str] = {}
        for chunk in _chunks([_signed(k) for k in keys]):
            rows = self._db.execute(
                f"SELECT key, reason FROM given_up WHERE model = ? AND at > ? AND key IN ({_marks(chunk)})",
                (model, since, *chunk),
            )
            found |= {_unsigned(k): reason for k, reason in rows}
        return found

    def vectors(self, keys: Iterable[int], model: str) -> dict[int, list[float]]:
        """Embeddings of `model` that were paid for."""
        found: dict[int, list[float]] = {}
        for chunk in _chunks([_signed(k) for k in keys]):
            rows = self._db.execute(
                f"SELECT key, vector FROM vectors WHERE model = ? AND key IN ({_marks(chunk)})", (model, *chunk)
            )
            found |= {_unsigned(k): list(struct.unpack(f"<{len(v) // 4}f", v)) for k, v in rows}
        return found

    def prune(self) -> None:
        """Forget what is older than the posts in social_buzz."""
        now = self._clock()
        with _transaction(self._db):
            for table in ("answers", "vectors"):
                self._db.execute(f"DELETE FROM {table} WHERE at < ?", (now - KEEP_SECONDS,))
            self._db.execute("DELETE FROM given_up WHERE at < ?", (now - GIVEN_UP_SECONDS,))
            self._db.execute("DELETE FROM days WHERE day < ?", (_day(now - KEEP_SECONDS),))

    # --- batches under way (feeders/analysis/backfill.py)

    def batch_started(self, batch_id: str, items: str, reservation: Reservation) -> None:
        """Remember a batch at once, so that a restart waits for it instead of paying again."""
        with _transaction(self._db):
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                (batch_id, items, reservation.id, reservation.usd, reservation.day, reservation.at),
            )

    def batches(self) -> list[tuple[str, str, Reservation]]:
        """(id, items, reservation) of the batches under way, oldest first."""
        rows = self._db.execute("SELECT id, items, day, reservation, usd, at FROM batches ORDER BY at").fetchall()
        return [(i, items, Reservation(day, name, usd, 0, at)) for i, items, day, name, usd, at in rows]

    def batch_renamed(self, old: str, new: str) -> None:
        """The batch has come into being and has an id."""
        with _transaction(self._db):
            self._db.execute("UPDATE batches SET id = ? WHERE id = ?", (new, old))


class _transaction:
    """`BEGIN IMMEDIATE` ... `COMMIT`: a writer from the first statement on, so that no other one comes in between."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")


def over_cap(usd: float, limits: Limits) -> bool:
    """Half a millionth of a dollar of tolerance: sums of floats must not stop the last affordable request."""
    return usd > limits.usd_per_day + 5e-7


def wait_for_tokens(recent: Sequence[tuple[float, int]], tokens: int, limit: int, now: float) -> float:
    """Seconds until enough of the last minute's tokens, (moment, tokens) by age, are a minute old; 0: not at all."""
    over = sum(t for _, t in recent) + tokens - limit
    for at, used in recent:
        if over <= 0:
            break
        over -= used
        wait = at + 60 - now
        if over <= 0:
            return max(0.001, wait)
    return 0.0


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _signed(key: int) -> int:
    """SQLite's integers are signed."""
    return key - 2**64 if key >= 2**63 else key


def _unsigned(key: int) -> int:
    return key + 2**64 if key < 0 else key


def _chunks(keys: list[int], size: int = 500) -> Iterable[list[int]]:
    return (keys[i : i + size] for i in range(0, len(keys), size))


def _marks(keys: list[int]) -> str:
    return ", ".join("?" * len(keys))
