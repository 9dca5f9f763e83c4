"""The market feeder: a venue's raw L2 updates and trades become `market_l2` and `market_trades`.

A `Source` says what was received; the normalizer turns it into rows; the publisher brings them to Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from chctl.settings import Settings
from feeders.events import Raw
from feeders.live import Live
from feeders.normalizer import Normalizer, Options
from feeders.raw_topic import LARGEST, TOPIC, Collector, RawTopic
from feeders.replay import recording
from feeders.runtime import ERRORS, Publisher, Stop, Supervisor, serve_metrics
from feeders.sources import Venue
from feeders.sources import venue as venue_named

log = structlog.get_logger()

EVENTS = Metric("chctl_market_events_total", "What the normalizer counted.", ["venue", "what"])
LAG = Gauge("chctl_market_lag_seconds", "Receive time minus the venue's time of the last update.", ["venue"])

#: How often a collector asks for every book anew.
SNAPSHOT_SECONDS = 300.0


class Source(Protocol):
    """Where a feed comes from: a live venue, a recording, a raw topic, a simulated venue."""

    venue: Venue
    commits: bool  # wants to know when rows are on the broker
    shift_ms: int  # added to the venue's event times; 0 but for recordings moved into the present

    def events(self) -> AsyncIterator[list[Raw]]:
        """What was received, in order, in batches; a `tick` now and then when nothing was."""

    def resync(self, symbol: str, reason: str) -> None:
        """Make the venue send the book of `symbol` anew; must not block."""

    def acknowledged(self) -> None:
        """The rows of every event handed out so far are on the broker."""


@dataclass
class Report:
    """What a feed came to. `produced` counts the rows the broker acknowledged, by topic; `lost` those it never did."""

    counts: Counter[str] = field(default_factory=Counter)
    produced: Counter[str] = field(default_factory=Counter)
    lost: int = 0


class Replay:
    """A recorded feed at its own pace (`speed` 1), N times as fast (N) or as fast as it is taken (0).

    `transform` may change, drop or insert what was received, before decoding. `now` moves the whole recording in time
    so that it begins now (receive and event times alike). `resync` is given the books that ask for a snapshot; what
    it returns is received next.
    """

    commits = False

    def __init__(
        self,
        venue: Venue,
        events: Iterable[Raw],
        *,
        speed: float = 0,
        now: bool = False,
        transform: Callable[[Iterable[Raw]], Iterable[Raw]] | None = None,
        resync: Callable[[str, str], Iterable[Raw]] | None = None,
    ) -> None:
        self.venue = venue
        self.shift_ms = 0
        self._events = transform(events) if transform else events
        self._speed = speed
        self._now = now
        self._answer = resync
        self._answers: list[Raw] = []

    async def events(self) -> AsyncIterator[list[Raw]]:
        """The recording, in batches of what is due."""
        start = begin = 0.0
        batch: list[Raw] = []
        for raw in self._events:
            at = raw.receive_time / 1e6
            if not begin:
                start, begin = time.time(), at
                self.shift_ms = round((start - begin) * 1000) if self._now else 0
            wait = start + (at - begin) / self._speed - time.time() if self._speed > 0 else 0
            if wait > 0 or len(batch) >= 256:
                if batch:
                    yield batch
                    batch = []
                # Also when nothing is due: signals and timers have their turn, and quiet books are repeated.
                while wait > 0:
                    await asyncio.sleep(min(wait, 0.05))
                    wait = start + (at - begin) / self._speed - time.time()
                    if wait > 0:
                        yield [Raw(round((at - wait * self._speed) * 1e6) + self.shift_ms * 1000, b"", "tick")]
                await asyncio.sleep(0)
            if self._answers:
                answers, self._answers = self._answers, []
                batch += [answer._replace(receive_time=raw.receive_time + self.shift_ms * 1000) for answer in answers]
            batch.append(raw._replace(receive_time=raw.receive_time + self.shift_ms * 1000) if self._now else raw)
        if batch:
            yield batch

    def resync(self, symbol: str, reason: str) -> None:
        """Ask whoever knows the true book; a plain recording has no answer but its own later snapshots."""
        if self._answer:
            self._answers += self._answer(symbol, reason)

    def acknowledged(self) -> None:
        """Nothing to remember."""


async def run_market(
    source: Source,
    publisher: Publisher,
    *,
    options: Options | None = None,
    stop: Stop | None = None,
    supervisor: Supervisor | None = None,
    flush_seconds: float = 0.02,
    drain_seconds: float = 30.0,
    commit_seconds: float = 1.0,
) -> Report:
    """Feed until the source ends or `stop`; then flush the open windows and wait for the broker.

    Raises PublishError if the broker refuses rows for good.
    """
    stop = stop or Stop()
    supervisor = supervisor or Supervisor()
    normalizer = Normalizer(source.venue, options, source.resync)
    venue = source.venue.name
    seen: Counter[str] = Counter()
    flushed = 0.0
    committed = time.monotonic()
    ready = False

    # Known from the start: a rate of what never happened is 0, not missing.
    for what in ("messages", "diffs", "windows", "trades", "gaps", "resyncs"):
        EVENTS.labels(venue, what)
    for topic in ("market_l2", "market_trades"):
        ERRORS.labels(topic)

    def publish() -> None:
        for topic, key, value in normalizer.take():
            publisher.add(topic, key, value)

    async with aclosing(source.events()) as batches:  # type: ignore[type-var]
        async for batch in batches:
            if not ready and normalizer.counts["messages"]:
                ready = True
                supervisor.ready(f"feeding {venue}")
            normalizer.shift_ms = source.shift_ms
            normalizer.feed(*batch)
            publish()
            # Time alone is no progress: it passes in a feeder that is cut off as well.
            if any(raw.kind != "tick" for raw in batch):
                supervisor.progress()
            now = time.monotonic()
            if now - flushed >= flush_seconds:
                flushed = now
                publisher.flush()
                for what, count in normalizer.counts.items():
                    EVENTS.labels(venue, what).inc(count - seen[what])
                seen = normalizer.counts.copy()
                LAG.labels(venue).set(normalizer.lag_ms / 1000)
            await publisher.room(supervisor.progress, stop)
            if source.commits and now - committed >= commit_seconds:
                committed = now
                if await asyncio.to_thread(publisher.drain, drain_seconds):
                    source.acknowledged()
            if stop():
                break
        supervisor.stopping()
        normalizer.flush()
        publish()
        delivered = await asyncio.to_thread(publisher.drain, drain_seconds)
        if delivered:
            source.acknowledged()
    report = Report(normalizer.counts, publisher.acknowledged.copy(), 0)
    report.lost = sum(publisher.added.values()) - sum(publisher.acknowledged.values())
    log.info("feed ended", venue=venue, counts=dict(report.counts), produced=dict(report.produced), lost=report.lost)
    return report


def options(settings: Settings) -> Options:
    """What the settings say is published."""
    bands = tuple(int(band) for band in settings.market_depth_bps.split(","))
    return Options(settings.market_window_ms, settings.market_levels, bands)


async def collect(
    source: Live | Replay, publisher: Publisher, *, stop: Stop | None = None, supervisor: Supervisor | None = None
) -> Report:
    """Put what a venue sends on `market_raw`, undecoded, until the source ends or `stop`.

    Every book is asked for anew every SNAPSHOT_SECONDS, so that whoever takes over a partition has not far to read.
    """
    stop = stop or Stop()
    supervisor = supervisor or Supervisor()
    collector = Collector(source.venue)
    counts: Counter[str] = Counter()
    asked = time.monotonic()
    async with aclosing(source.events()) as batches:  # type: ignore[type-var]
        supervisor.ready(f"collecting {source.venue.name}")
        async for batch in batches:
            for raw in batch:
                counts[raw.kind] += 1
                for key, row in collector.rows(raw):
                    publisher.add(TOPIC, key, row)
            publisher.flush()
            if any(raw.kind != "tick" for raw in batch):
                supervisor.progress()
            if time.monotonic() - asked > SNAPSHOT_SECONDS:
                asked = time.monotonic()
                for symbol in collector.symbols:
                    source.resync(symbol, "periodic")
            await publisher.room(supervisor.progress, stop)
            if stop():
                break
    supervisor.stopping()
    await asyncio.to_thread(publisher.drain, 30.0)
    lost = sum(publisher.added.values()) - sum(publisher.acknowledged.values())
    log.info("collecting ended", venue=source.venue.name, produced=dict(publisher.acknowledged), lost=lost)
    return Report(counts, publisher.acknowledged.copy(), lost)


def main(
    settings: Settings,
    venue: str,
    symbols: list[str],
    replay: Path | None = None,
    speed: float = 1.0,
    raw: str = "",
) -> Report:
    """Run the feeder until SIGTERM or, for a recording, its end. Raises ValueError, OSError, PublishError.

    `raw`: `to` puts what was received on `market_raw` instead, `from` normalizes what stands there.
    """
    chosen = venue_named(venue)
    source: Live | Replay = (
        Replay(chosen, recording(replay, symbols[0] if symbols else ""), speed=speed)
        if replay
        else Live(chosen, symbols)
    )
    close_metrics = serve_metrics(settings)
    publisher = Publisher(
        settings,
        buffer_bytes=settings.market_buffer_mb << 20,
        config={"message.max.bytes": LARGEST} if raw == "to" else None,
    )
    stop = Stop().install()
    try:
        if raw == "to":
            return asyncio.run(collect(source, publisher, stop=stop))
        shared = RawTopic(settings, chosen, group=f"chctl.normalizer.{TOPIC}") if raw == "from" else None
        return asyncio.run(
            run_market(
                shared or source,
                publisher,
                options=options(settings),
                stop=stop,
                flush_seconds=settings.market_flush_ms / 1000,
                drain_seconds=settings.market_drain_s,
            )
        )
    finally:
        publisher.close(0)
        close_metrics()
