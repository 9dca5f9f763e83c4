"""Several normalizers share a raw topic: whatever happens to one of them, the rows of the feed come out."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import msgspec
import pytest

from chctl.contracts import load
from chctl.settings import PROJECT_DIR
from feeders.market import run_market
from feeders.normalizer import normalize
from feeders.raw_topic import LARGEST, Collector, RawTopic, publish
from feeders.replay import recording
from feeders.runtime import Publisher, Stop
from feeders.sources import venue

FILES = {"okx": "okx/okx_20220513.jsonl.gz", "coinbase": "coinbase/coinbase_202608.jsonl.gz"}


class Memory:
    """Takes rows in the place of a publisher, to look at them."""

    def __init__(self):
        self.rows = defaultdict(list)
        self.added = self.acknowledged = defaultdict(int)
        self.enough = lambda: False

    def add(self, topic, _key, row):
        self.rows[topic].append(msgspec.json.decode(row))

    def flush(self):
        pass

    def drain(self, _timeout):
        return True

    async def room(self, _waiting, _stopped):
        pass


def recorded(captures, name):
    return list(recording(captures / FILES[name]))


def identity(row):
    return row["symbol"], row["window_start"], row["update_type"], row["last_seq"], str(row.get("bid_lots"))


def take(settings, name, topic, group, done, acknowledge=True):
    """Run one member of the group until `done(rows so far)`."""
    source = RawTopic(settings, venue(name), group=group, topic=topic)
    if not acknowledge:
        source.acknowledged = lambda: None
    memory, stop = Memory(), Stop()

    async def run():
        async def watch():
            end = time.monotonic() + 40
            while not done(memory.rows) and time.monotonic() < end:
                await asyncio.sleep(0.05)
            stop.set()

        watcher = asyncio.create_task(watch())
        await run_market(source, memory, stop=stop, commit_seconds=0.2)
        await watcher

    asyncio.run(run())
    return memory.rows


@pytest.mark.parametrize("name", ["okx", "coinbase"])
def test_rows_through_the_raw_topic_are_those_of_the_feed(settings, topic, captures, name):
    raws = recorded(captures, name)
    raw_topic = topic("market_raw", partitions=3)
    expected = defaultdict(list)
    for row in normalize(raws, venue(name)):
        expected[row.topic].append(msgspec.json.decode(row.value))
    publisher = Publisher(settings, config={"message.max.bytes": LARGEST})
    publish(publisher, venue(name), raws, raw_topic)
    assert publisher.close() == 0
    # The recording is old: by the receiver's clock the feed is stale once it was read, and the last, open window is not
    # published any more.
    for symbol in {row["symbol"] for row in expected["market_l2"]}:
        final = next(row for row in reversed(expected["market_l2"]) if row["symbol"] == symbol)
        expected["market_l2"].remove(final)
    trades = len(expected["market_trades"])
    last = {row["symbol"]: row["last_seq"] for row in expected["market_l2"]}

    def complete(rows):
        seen = {row["symbol"]: row["last_seq"] for row in rows["market_l2"]}
        return len(rows["market_trades"]) >= trades and all(seen.get(s, -1) >= seq for s, seq in last.items())

    # The first member dies without having acknowledged anything; the second begins where nothing was committed.
    lost = take(settings, name, raw_topic, f"group.{raw_topic}", lambda rows: rows["market_l2"], acknowledge=False)
    assert lost["market_l2"]
    rows = take(settings, name, raw_topic, f"group.{raw_topic}", complete)
    assert {t["trade_id"] for t in rows["market_trades"]} == {t["trade_id"] for t in expected["market_trades"]}
    books = {identity(row) for row in rows["market_l2"] if row["update_type"] != "gap"}
    # Quiet books are repeated by the receiver's clock, whose ticks differ: what changed must be the same.
    assert {identity(r) for r in expected["market_l2"] if r["diffs"] and r["update_type"] == "delta"} <= books


@pytest.mark.parametrize("name", ["okx", "coinbase"])
def test_raw_rows_keep_their_contract(captures, name):
    contract = load(PROJECT_DIR / "contracts" / "market_raw.yaml")
    collector = Collector(venue(name))
    for raw in recorded(captures, name):
        for key, row in collector.rows(raw):
            value = msgspec.json.decode(row)
            assert contract.line_reasons(row) == [], value["kind"]
            assert key == f"{name}:{value['symbol']}".encode()
