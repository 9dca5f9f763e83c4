"""The market's path in one hand: a node with topics and schema, a recording to play, a ledger to hold."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

from clickhouse_connect.driver.client import Client

from chctl.clickhouse import connect
from chctl.demo.ledger import Stream, streams
from chctl.node import drain
from chctl.rebuild import rebuild
from chctl.settings import Settings
from feeders.events import Raw
from feeders.market import Replay, run_market
from feeders.normalizer import Normalizer, Row
from feeders.replay import recording
from feeders.runtime import Publisher
from feeders.sources import venue

SPOT = "binance/spot_btcusdt_20240808.jsonl.gz"
ROLLUPS = ("liquidity_1s", "trades_1s")


def first(seconds: float, events: Iterable[Raw]) -> Iterator[Raw]:
    """The first seconds of a recording."""
    begin: list[int] = []

    def within(raw: Raw) -> bool:
        if not begin:
            begin.append(raw.receive_time)
        return raw.receive_time - begin[0] < seconds * 1e6

    return takewhile(within, events)


def normalized(events: Iterable[Raw], ends: datetime) -> list[Row]:
    """The rows of a Binance spot recording, moved in time by whole seconds so that it ends at `ends`."""
    received = list(events)
    normalizer = Normalizer(venue("binance"))
    shift = round(ends.timestamp() - received[-1].receive_time / 1e6)
    normalizer.shift_ms = shift * 1000
    for raw in received:
        normalizer.feed(raw._replace(receive_time=raw.receive_time + shift * 1_000_000))
    normalizer.flush()
    return normalizer.take()


def publish(settings: Settings, rows: Iterable[Row]) -> Counter[str]:
    """Send rows as the feeder would; the rows acknowledged, by topic."""
    publisher = Publisher(settings)
    for number, (topic, key, value) in enumerate(rows):
        publisher.add(topic, key, value)
        if number % 200 == 0:
            publisher.flush()
            publisher.wait_for_room()
    assert publisher.drain(60)
    publisher.close()
    return publisher.acknowledged


def play(settings: Settings, captures: Path, seconds: float, speed: float) -> Counter[str]:
    """Feed the beginning of the spot recording at `speed`; the rows acknowledged, by topic."""
    source = Replay(venue("binance"), first(seconds, recording(captures / SPOT, "BTCUSDT")), speed=speed, now=True)
    publisher = Publisher(settings)
    report = asyncio.run(run_market(source, publisher))
    publisher.close()
    assert report.lost == 0
    return report.produced


@dataclass
class State:
    """What a node holds: streams against what was produced, alerts, and rollup rows that differ from a rebuild."""

    streams: list[Stream]
    alerts: list[tuple[str, str]]
    differing: dict[str, int] = field(default_factory=dict)


def settled(client: Client, produced: Counter[str], seconds: float = 60) -> list[Stream]:
    """Wait until every produced row is stored or rejected; what there is when it is so, or when time is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = streams(client, produced)
        if all(stream.difference == 0 for stream in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def state(settings: Settings, produced: Counter[str]) -> State:
    """Settle until offsets are committed, so that rules have run too; then compare rollups with a rebuild."""
    deadline = time.monotonic() + 30
    with connect(settings) as client:
        found = settled(client, produced)
        while drain.unread(settings.kafka_brokers, timeout=5).keys() & produced.keys() and time.monotonic() < deadline:
            time.sleep(0.2)
        alerts = [
            tuple(row) for row in client.query("SELECT alert_id, status FROM alerts FINAL ORDER BY ALL").result_rows
        ]
    now = datetime.now(UTC)
    window = (now - timedelta(hours=1), now + timedelta(hours=1))
    checks = {rollup: rebuild(settings, rollup, *window, check=True) for rollup in ROLLUPS}
    return State(found, alerts, {rollup: check.different for rollup, check in checks.items()})


def assert_whole(found: State) -> None:
    """Produced = stored + rejected to the row, nothing rejected, rollup = rebuild."""
    assert [(s.topic, s.difference, s.rejected) for s in found.streams] == [
        ("market_l2", 0, 0),
        ("market_trades", 0, 0),
    ]
    assert found.differing == dict.fromkeys(ROLLUPS, 0)
