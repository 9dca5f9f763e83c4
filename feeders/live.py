"""A venue's live feed: one websocket with heartbeats, reconnects with jittered backoff, snapshots when a book asks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence

import httpx
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from feeders.events import Raw
from feeders.sources import Venue

log = structlog.get_logger()

#: Messages read and not yet normalized; when full, the socket is not read.
QUEUE = 10_000
#: Coinbase sends the whole book of a symbol in one message of several MB.
MAX_MESSAGE = 64 << 20
#: The longest wait between two attempts, seconds.
MAX_BACKOFF = 30.0
#: After this long in good order the next failure starts from a short wait again, seconds.
CALM = 60.0
#: A quiet venue that only answers pings is left after this many halves of its `stale_after`.
QUIET_ROUNDS = 10
#: How often time passes for the normalizer when nothing is received, seconds.
TICK = 0.05


def backoff(failures: int, first: float = 0.5) -> float:
    """Seconds to wait after so many failures in a row: full jitter below a doubling bound."""
    return random.uniform(0, min(MAX_BACKOFF, first * 2 ** min(failures, 16)))


class _Attempts:
    """Failures in a row; forgotten after a calm time."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0

    def next_wait(self) -> float:
        """Count one more, and say how long to wait before it is tried again (at once the first time)."""
        now = time.monotonic()
        if now - self.last > CALM:
            self.count = 0
        wait = backoff(self.count) if self.count else 0.0
        self.count += 1
        self.last = now
        return wait


class Live:
    """What a venue sends now about `symbols`. `url` and `rest` replace the venue's own addresses."""

    commits = False
    shift_ms = 0

    def __init__(self, venue: Venue, symbols: Sequence[str], *, url: str = "", rest: str = "") -> None:
        self.venue = venue
        self.reconnects = 0
        self._symbols = list(symbols)
        self._url = url or venue.url(symbols)
        self._rest = rest
        self._queue: asyncio.Queue[Raw] = asyncio.Queue(QUEUE)
        self._socket: ClientConnection | None = None
        self._asked: dict[str, _Attempts] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._http: httpx.AsyncClient | None = None

    async def events(self) -> AsyncIterator[list[Raw]]:
        """Batches of what was received; a tick when nothing was for a while. Ends only when it is closed."""
        async with httpx.AsyncClient(timeout=10.0) as self._http:
            reading = asyncio.create_task(self._stay_connected())
            try:
                while True:
                    try:
                        if self._queue.qsize():
                            batch = [self._queue.get_nowait()]
                        else:
                            async with asyncio.timeout(TICK):
                                batch = [await self._queue.get()]
                    except TimeoutError:
                        if reading.done():
                            reading.result()
                        yield [Raw(_now(), b"", "tick")]
                        continue
                    while len(batch) < 500 and not self._queue.empty():
                        batch.append(self._queue.get_nowait())
                    yield batch
            finally:
                tasks = [reading, *self._tasks.values()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def acknowledged(self) -> None:
        """A venue does not want to know."""

    # --- the connection

    async def _stay_connected(self) -> None:
        attempts = _Attempts()
        while True:
            await asyncio.sleep(attempts.next_wait())
            try:
                # The library's pings find a connection that is dead on its own level.
                async with connect(self._url, max_size=MAX_MESSAGE, ping_interval=20, ping_timeout=20) as socket:
                    await self._put(b"", "connect")
                    self._socket = socket
                    for message in self.venue.subscribe(self._symbols):
                        await socket.send(message)
                    if self.venue.rest_snapshot:
                        for symbol in self._symbols:
                            self.resync(symbol, "start")
                    log.info("connected", venue=self.venue.name, url=self._url.partition("?")[0])
                    await self._read(socket)
            except (OSError, WebSocketException, TimeoutError) as error:
                log.warning("connection lost", venue=self.venue.name, error=repr(error))
            finally:
                self._socket = None
            self.reconnects += 1
            await self._put(b"", "disconnect")

    async def _read(self, socket: ClientConnection) -> None:
        """Read until the connection ends or falls silent."""
        patience = self.venue.stale_after / 2
        silent = rounds = 0
        while True:
            try:
                # Not wait_for: until Python 3.12 it can swallow the cancellation that ends this task.
                async with asyncio.timeout(patience):
                    message = await socket.recv()
            except TimeoutError:
                silent += 1
                if silent > 1:
                    raise TimeoutError(f"no message in {self.venue.stale_after} s") from None
                if self.venue.ping():
                    await socket.send(self.venue.ping())
                elif self.venue.quiet:
                    # Nothing to say is no silence here, as long as the other end answers.
                    async with asyncio.timeout(patience):
                        await (await socket.ping())
                    await self._put(b"", "alive")
                    rounds += 1
                    silent = 0
                    if rounds >= QUIET_ROUNDS:
                        raise TimeoutError("pings are answered, but nothing is said any more") from None
                continue
            silent = rounds = 0
            await self._put(message.encode() if isinstance(message, str) else message, "message")

    async def _put(self, data: bytes, kind: str, symbol: str = "") -> None:
        await self._queue.put(Raw(_now(), data, kind, symbol, self.venue.name))

    # --- snapshots

    def resync(self, symbol: str, reason: str) -> None:
        """Make the venue send the book anew: over REST, or by joining its channel again; repeated asking is slowed
        down.
        """
        task = self._tasks.get(symbol)
        if task and not task.done():
            return
        log.info("resync", venue=self.venue.name, symbol=symbol, reason=reason)
        ask = self._fetch(symbol) if self.venue.rest_snapshot else self._rejoin(symbol, reason)
        self._tasks[symbol] = asyncio.get_running_loop().create_task(ask)

    async def _rejoin(self, symbol: str, reason: str) -> None:
        socket = self._socket
        await asyncio.sleep(self._asked.setdefault(symbol, _Attempts()).next_wait())
        if socket is None or socket is not self._socket:  # a new connection brought new books meanwhile
            return
        messages = self.venue.resubscribe(symbol)
        try:
            if reason == "stale" or not messages:
                await socket.close()
            for message in messages:
                await socket.send(message)
        except (OSError, WebSocketException) as error:
            log.warning("resync not sent", venue=self.venue.name, symbol=symbol, error=repr(error))

    async def _fetch(self, symbol: str) -> None:
        attempts = self._asked.setdefault(symbol, _Attempts())
        address = self.venue.snapshot_url(symbol)
        if self._rest:
            address = self._rest + "?" + address.partition("?")[2]
        assert self._http is not None
        while True:
            await asyncio.sleep(attempts.next_wait())
            try:
                answer = await self._http.get(address)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                log.warning("no snapshot", venue=self.venue.name, symbol=symbol, error=repr(error))
                if isinstance(error, httpx.HTTPStatusError):
                    wanted = error.response.headers.get("retry-after", "")
                    await asyncio.sleep(int(wanted) if wanted.isdigit() else 0)
                continue
            await self._put(answer.content, "snapshot", symbol)
            return


def _now() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000
