"""The topic `market_raw`: one collector a venue writes what was received, several normalizers share it as a group.

A book can only be kept by who has read everything since its last snapshot. So offsets are committed up to the last
snapshot of the partition's symbols, not up to the last message: whoever takes a partition over reads from there, and
produces the rows since then again, with the same keys.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator

import msgspec
import structlog

from chctl.settings import Settings
from feeders.events import BookUpdate, ConnectionGap, Malformed, Raw
from feeders.runtime import Publisher, Reader
from feeders.sources import Venue

log = structlog.get_logger()

TOPIC = "market_raw"
#: Coinbase sends a whole book in one message of 5 MB; the topic's max.message.bytes must allow for that.
LARGEST = 32 << 20
#: Rows handed out at once, about: one fetch may bring a hundred thousand.
BATCH = 1_000
#: Updates kept a symbol, to stand again behind a REST snapshot that came later than they did.
BEHIND = 1_000


class RawRow(msgspec.Struct, omit_defaults=True, gc=False):
    """A row of `market_raw`; contracts/market_raw.yaml says what the fields mean."""

    venue: str
    symbol: str
    receive_time: int
    kind: str
    start: bool = False
    data: str = ""


_encode = msgspec.json.Encoder().encode
_rows = msgspec.json.Decoder(RawRow).decode_lines


class Collector:
    """Turns what a connection received into rows by symbol."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._decoder = venue.decoder()
        self.symbols: set[str] = set()
        self._recent: dict[str, deque[Raw]] = defaultdict(lambda: deque(maxlen=BEHIND))
        self._heard = False
        self._alive = 0

    def rows(self, raw: Raw) -> Iterator[tuple[bytes, bytes]]:
        """Keys and rows of one received message."""
        if raw.kind in ("message", "snapshot", "alive"):
            self._heard = True
        if self._heard and raw.receive_time - self._alive > self._venue.stale_after * 300_000:
            self._heard, self._alive = False, raw.receive_time
            yield from self._all("alive", raw)
        if raw.kind in ("connect", "disconnect"):
            self._decoder.connected(raw.conn)
            yield from self._all("disconnect", raw)
        elif raw.kind == "snapshot":
            yield self._to(raw.symbol, raw, start=True)
            for update in self._recent[raw.symbol]:
                yield self._to(raw.symbol, update)
        elif raw.kind == "message":
            starts: dict[str, bool] = {}
            for event in self._decoder.decode(raw):
                if isinstance(event, ConnectionGap) or (isinstance(event, Malformed) and not event.symbol):
                    yield from self._all("disconnect", raw)
                elif isinstance(event, Malformed):
                    yield self._to(event.symbol, raw._replace(data=b""), "disconnect")
                else:
                    snapshot = isinstance(event, BookUpdate) and event.snapshot
                    starts[event.symbol] = snapshot or starts.get(event.symbol, False)
            for symbol, start in starts.items():
                self.symbols.add(symbol)
                if self._venue.rest_snapshot:
                    self._recent[symbol].append(raw)
                yield self._to(symbol, raw, start=start)

    def _all(self, kind: str, raw: Raw) -> Iterator[tuple[bytes, bytes]]:
        for symbol in self.symbols:
            yield self._to(symbol, raw._replace(data=b""), kind)

    def _to(self, symbol: str, raw: Raw, kind: str = "", start: bool = False) -> tuple[bytes, bytes]:
        venue = self._venue.name
        row = RawRow(venue, symbol, raw.receive_time, kind or raw.kind, start, raw.data.decode())
        return f"{venue}:{symbol}".encode(), _encode(row)


def publish(publisher: Publisher, venue: Venue, raws: Iterable[Raw], topic: str = TOPIC) -> None:
    """Put a finite feed on the topic."""
    collector = Collector(venue)
    for raw in raws:
        for key, row in collector.rows(raw):
            publisher.add(topic, key, row)


class RawTopic:
    """A source of one venue's messages from the topic, shared with the other members of `group`."""

    shift_ms = 0
    commits = True

    def __init__(self, settings: Settings, venue: Venue, *, group: str, topic: str = TOPIC) -> None:
        self.venue = venue
        self.reader = Reader(settings, group, [topic], before_revoke=None)
        self._topic = topic
        self._starts: dict[int, dict[str, int]] = defaultdict(dict)  # partition -> symbol -> offset of its snapshot

    async def events(self) -> AsyncIterator[list[Raw]]:
        """Batches as they were collected; a tick when there is nothing to read."""
        held: set[int] = set()
        venue = self.venue.name
        try:
            while True:
                messages = await asyncio.to_thread(self.reader.read, 500, 0.05)
                mine = {partition for _, partition in self.reader.assigned}
                batch = [raw for partition in held - mine for raw in self._forget(partition)]
                held = mine
                for message in messages:
                    partition, offset = message.partition() or 0, message.offset() or 0
                    for row in _rows(message.value() or b""):
                        if row.venue != venue:
                            continue
                        if row.start:
                            self._starts[partition][row.symbol] = offset
                        kind = "routed" if row.kind == "message" else row.kind
                        batch.append(Raw(row.receive_time, row.data.encode(), kind, row.symbol, row.symbol))
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
                if batch or not messages:
                    yield batch or [Raw(time.time_ns() // 1000, b"", "tick")]
        finally:
            await asyncio.to_thread(self.reader.close)

    def _forget(self, partition: int) -> list[Raw]:
        """The books of a partition that somebody else keeps from now on."""
        return [Raw(0, b"", "forget", symbol, symbol) for symbol in self._starts.pop(partition, {})]

    def resync(self, symbol: str, reason: str) -> None:
        """Wait: the collector asks for snapshots, at every new connection and every few minutes."""
        log.info("waiting for the collector's next snapshot", venue=self.venue.name, symbol=symbol, reason=reason)

    def acknowledged(self) -> None:
        """Commit up to the last snapshot of every symbol: from there the books can be kept again."""
        self.reader.commit(
            {(self._topic, partition): min(symbols.values()) for partition, symbols in self._starts.items() if symbols}
        )
