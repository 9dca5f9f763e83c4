"""The live client against a venue on loopback: connections that drop, stall, send garbage or die within a message."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, aclosing

import msgspec
import pytest

from feeders import live
from feeders.live import Live
from feeders.normalizer import Normalizer
from feeders.sources import venue

from .test_mutations import check, check_end, feeds  # noqa: F401 - a fixture
from .venue_server import VenueServer

MESSAGES = 400
NAMES = ["binance", "binance_usdm", "binance_coinm", "kraken", "okx", "coinbase"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Backoff in hundredths of the seconds of real life."""
    real = live.backoff
    monkeypatch.setattr(live, "backoff", lambda failures: real(failures) / 100)


async def feed(name, raws, faults, before=(), deadline=15.0):
    """Run a live client until the server has played everything and every book is right again."""
    server = VenueServer(name, raws, faults)
    for raw in before:
        server.truth.feed(raw)
    subject = venue(name)
    subject.stale_after = 0.6  # so that a stall is noticed within a test
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.running())
        rest = await stack.enter_async_context(server.rest())
        symbols = {
            "kraken": ["A", "B"],
            "okx": ["A", "B"],
            "coinbase": ["BTC-USD", "ETH-USD"],
            "binance_coinm": ["BTCUSD_PERP"],
        }.get(name, ["BTCUSDT"])
        source = Live(subject, symbols, url=url, rest=rest)
        normalizer = Normalizer(subject, resync=source.resync)
        rows = []

        def complete() -> bool:
            return server.finished.is_set() and all(
                symbol in normalizer._states
                and normalizer._states[symbol].valid
                and normalizer._states[symbol].last_seq >= server.truth.seq[symbol]
                for symbol in server.truth.books
            )

        async with aclosing(source.events()) as events, asyncio.timeout(deadline):
            async for batch in events:
                for raw in batch:
                    normalizer.feed(raw)
                rows += normalizer.take()
                if complete():
                    break
        normalizer.flush()
        rows += normalizer.take()
    return server, normalizer, rows


def gap_reasons(rows):
    values = (msgspec.json.decode(row.value) for row in rows if row.topic == "market_l2")
    return [value["reason"] for value in values if value["update_type"] == "gap"]


def playable(feeds, name):  # noqa: F811
    """What the server plays: the websocket's messages; Binance's REST snapshot it serves from its own book."""
    raws, _ = feeds[name]
    start = 0
    if name.startswith("binance"):
        start = next(i for i, raw in enumerate(raws) if raw.kind == "snapshot")
    return [raw for raw in raws[start:] if raw.kind == "message"][:MESSAGES]


def before(feeds, name):  # noqa: F811
    """What the venue knew before the client came."""
    raws, _ = feeds[name]
    if not name.startswith("binance"):
        return []
    return raws[: 1 + next(i for i, raw in enumerate(raws) if raw.kind == "snapshot")]


def is_book(raw):
    return any(mark in raw.data for mark in (b'"depthUpdate"', b'"book-', b'"books"', b"l2_data"))


@pytest.mark.parametrize("name", NAMES)
def test_a_calm_feed_is_followed_to_the_end(feeds, name):  # noqa: F811
    server, normalizer, rows = asyncio.run(feed(name, playable(feeds, name), {}, before(feeds, name)))
    assert server.connections == 1
    assert gap_reasons(rows) == []
    check(server.truth, rows)
    check_end(normalizer, server.truth)
    assert sum(row.topic == "market_l2" for row in rows) > 10


@pytest.mark.parametrize("fault", ["drop", "half", "stall", "garbage", "lose"])
@pytest.mark.parametrize("name", NAMES)
def test_faults_are_survived_and_nothing_wrong_is_published(feeds, name, fault):  # noqa: F811
    raws = playable(feeds, name)
    at = random.Random(f"{name} {fault}").sample(range(len(raws) // 4, len(raws) * 3 // 4), 2)
    at = [next(i for i in range(start, len(raws)) if is_book(raws[i])) for start in at]
    server, normalizer, rows = asyncio.run(feed(name, raws, dict.fromkeys(at, fault), before(feeds, name)))
    reasons = gap_reasons(rows)
    check(server.truth, rows)
    check_end(normalizer, server.truth)
    if fault in ("drop", "half", "stall"):
        assert server.connections >= 2
        assert set(reasons) <= {"disconnect", "stale"}
        assert reasons
    elif fault == "garbage" or name not in ("kraken", "okx"):
        assert "sequence" in reasons
