"""One budget for the processes of the group on all hosts: their spend as rows of `social_spend`.

ClickHouse cannot check and add in one step, so a process adds first and checks then: it writes what a request may cost
at most, reads the sum of everybody's, and takes its own back where the sum is over the limit. Of all requests that were
let through, the one whose row was written last has seen the rows of all the others, and its own, within the limit: the
cap holds, whoever runs beside. Where several reach the end of the budget at the same moment, all may be refused, though
one would have fitted: early, never late.

What a request came to is written before the next one is asked for, so that nobody waits for it; a process that dies
before leaves its request at the worst cost.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from feeders.analysis.ledger import DAILY_CAP, TOO_LARGE, Limits, Refusal, Reservation, over_cap, wait_for_tokens

log = structlog.get_logger()

#: Seconds until the node is asked again where it cannot say what the group has spent.
AWAY = 2.0

_SPENT = """
WITH {since:DateTime64(3, 'UTC')} AS since
SELECT
    sumIf(usd, day = {day:Date}),
    arraySort(groupArrayIf((toUnixTimestamp64Milli(reserved_time), tokens), reserved_time > since))
FROM social_spend
FINAL
WHERE day >= ({day:Date} - 1)
"""


class GroupBudget:
    """The group's spend in ClickHouse; `client` gives an open client. Calls from several threads take their turn."""

    def __init__(self, client: Callable[[], Client], limits: Limits) -> None:
        self._client = client
        self._limits = limits
        self._turn = threading.Lock()
        self._settled: dict[str, tuple[Reservation, float, int]] = {}
        self._seen: tuple[str, float] = ("", 0.0)
        self._recent: list[tuple[float, int]] = []
        self._away = False

    def reserve(self, reservation: Reservation) -> Refusal | None:
        """Add a request to the group's spend; the reason where the limits do not allow it, or the node is away."""
        try:
            with self._turn:
                self._flush()
                # Once without it, so that a budget that is used up costs no row for each refusal.
                if refusal := self._refusal(reservation, counted=False):
                    return refusal
                self._write([(reservation, reservation.usd, reservation.tokens)], 0)
                if refusal := self._refusal(reservation, counted=True):
                    self._write([(reservation, 0.0, 0)], 1)
                    return refusal
        except (Error, OSError) as error:
            self.settle(reservation, 0.0, 0)  # whether its row was written or not
            if not self._away:
                log.error("the group's budget cannot be read: requests wait for the node", error=type(error).__name__)
            self._away = True
            return Refusal("the group's budget cannot be read", AWAY)
        if self._away:
            log.warning("the group's budget can be read again")
        self._away = False
        return None

    def settle(self, reservation: Reservation, usd: float, tokens: int) -> None:
        """What the request came to; on record with the next `reserve`, `look` or `close`."""
        self._settled[reservation.id] = (reservation, usd, tokens)

    def look(self, at: float) -> None:
        """Read what the group has spent, at a moment in seconds since the epoch; an outage keeps what was known."""
        try:
            with self._turn:
                self._flush()
                self._read(at)
        except (Error, OSError) as error:
            log.warning("the group's spend cannot be read", error=type(error).__name__)

    def spent(self, day: str) -> float:
        """USD of the group on that day (UTC), as last read."""
        return self._seen[1] if self._seen[0] == day else 0.0

    def tokens(self, at: float) -> int:
        """Tokens of the group in the minute before, as last read."""
        return sum(tokens for when, tokens in self._recent if when > at - 60)

    def close(self) -> None:
        """Write what is settled; where the node is away the requests stay at their worst cost."""
        self.look(datetime.now(UTC).timestamp())

    def _refusal(self, reservation: Reservation, *, counted: bool) -> Refusal | None:
        """Why the limits do not allow it, now; `counted` where its row has been written."""
        spent = self._read(reservation.at)
        more_usd, more_tokens = (0.0, 0) if counted else (reservation.usd, reservation.tokens)
        if over_cap(spent + more_usd, self._limits):
            return Refusal(DAILY_CAP, None)
        if not self._limits.tokens_per_minute:
            return None
        if reservation.tokens > self._limits.tokens_per_minute:
            return Refusal(TOO_LARGE, None)
        wait = wait_for_tokens(self._recent, more_tokens, self._limits.tokens_per_minute, reservation.at)
        return Refusal("tokens per minute", wait) if wait else None

    def _read(self, at: float) -> float:
        moment = datetime.fromtimestamp(at, UTC)
        parameters = {"day": moment.date(), "since": moment - timedelta(seconds=60)}
        ((usd, recent),) = self._client().query(_SPENT, parameters=parameters).result_rows
        self._seen = (moment.strftime("%Y-%m-%d"), float(usd))
        self._recent = [(ms / 1000, int(tokens)) for ms, tokens in recent]
        return float(usd)

    def _flush(self) -> None:
        if settled := list(self._settled.values()):
            self._write(settled, 1)
            for entry in settled:
                if self._settled.get(entry[0].id) == entry:
                    del self._settled[entry[0].id]

    def _write(self, entries: list[tuple[Reservation, float, int]], version: int) -> None:
        """Rows, safe when this returns; written again they replace themselves."""
        host = socket.gethostname()
        self._client().insert(
            "social_spend",
            [
                (date.fromisoformat(r.day), r.id, datetime.fromtimestamp(r.at, UTC), usd, tokens, host, version)
                for r, usd, tokens in entries
            ],
            column_names=["day", "id", "reserved_time", "usd", "tokens", "host", "version"],
            settings={"async_insert": 0},
        )
