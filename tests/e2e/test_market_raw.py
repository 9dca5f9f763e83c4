"""Several normalizers share a raw topic: whatever happens to one of them, the rows of the feed come out."""

from __future__ import annotations

import asyncio
import threading
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
from tests.waiting import wait_for

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


class Member(threading.Thread):
    """One normalizer of a group, alive beside others."""

    def __init__(self, settings, name, topic, group):
        super().__init__(daemon=True)
        self.source = RawTopic(settings, venue(name), group=group, topic=topic)
        self.memory, self.stop = Memory(), Stop()
        self.start()

    def run(self):
        asyncio.run(run_market(self.source, self.memory, stop=self.stop, commit_seconds=0.2))

    @property
    def partitions(self):
        return {partition for _, partition in self.source.reader.assigned}

    def rows(self, topic):
        return list(self.memory.rows[topic])

    def end(self):
        self.stop.set()
        self.join(30)
        assert not self.is_alive()


def test_two_live_members_share_the_partitions_and_hand_them_over(settings, topic, captures):
    raws = recorded(captures, "okx")
    raw_topic, group = topic("market_raw", partitions=6), f"group.{topic('name')}"
    expected = [msgspec.json.decode(row.value) for row in normalize(raws, venue("okx")) if row.topic == "market_l2"]
    trades = {
        (row["symbol"], row["trade_id"])
        for row in (msgspec.json.decode(r.value) for r in normalize(raws, venue("okx")) if r.topic == "market_trades")
    }
    collector, third = Collector(venue("okx")), len(raws) // 3
    publisher = Publisher(settings, config={"message.max.bytes": LARGEST})

    def send(part):
        for raw in part:
            for key, row in collector.rows(raw):
                publisher.add(raw_topic, key, row)
        assert publisher.drain(30)

    members = [Member(settings, "okx", raw_topic, group)]
    try:
        first = members[0]
        wait_for(lambda: len(first.partitions) == 6, what="the first member has all partitions")
        send(raws[:third])
        wait_for(lambda: first.rows("market_l2"), what="the first member normalizes")
        members.append(Member(settings, "okx", raw_topic, group))
        second = members[1]
        wait_for(lambda: first.partitions and second.partitions, what="both have partitions")
        wait_for(lambda: len(first.partitions | second.partitions) == 6, what="together they have all")
        assert not first.partitions & second.partitions
        send(raws[third : 2 * third])
        first.end()
        wait_for(lambda: len(second.partitions) == 6, what="the second member takes over")
        send(raws[2 * third :])

        def seen():
            return {(t["symbol"], t["trade_id"]) for member in members for t in member.rows("market_trades")}

        wait_for(lambda: seen() >= trades, what="every trade came out")
        assert seen() == trades
        # By the receiver's clock the recording is stale once it is read: the last, open window is not published.
        last = {row["symbol"]: row["window_start"] for row in expected}
        wanted = {
            identity(row)
            for row in expected
            if row["diffs"] and row["update_type"] == "delta" and row["window_start"] < last[row["symbol"]]
        }

        def published():
            return {identity(row) for member in members for row in member.rows("market_l2")}

        # The first row of whoever takes a book over is a snapshot of the same window and levels.
        def covered():
            rows = published()
            return {w[:2] + w[3:] for w in wanted} <= {r[:2] + r[3:] for r in rows}

        wait_for(covered, what="every window came out")
        true = {(row["symbol"], row["last_seq"], str(row["bid_lots"]), str(row["ask_lots"])) for row in expected}
        shown = [row for member in members for row in member.rows("market_l2") if row["update_type"] != "gap"]
        ends = {(row["symbol"], row["last_seq"]) for row in expected}
        # A window cut by the hand-over ends at another update; those that end alike hold the same book.
        for row in shown:
            if (row["symbol"], row["last_seq"]) in ends:
                assert (row["symbol"], row["last_seq"], str(row["bid_lots"]), str(row["ask_lots"])) in true
    finally:
        publisher.close()
        for member in members:
            member.stop.set()
        for member in members:
            member.join(30)


@pytest.mark.parametrize("name", ["okx", "coinbase"])
def test_raw_rows_keep_their_contract(captures, name):
    contract = load(PROJECT_DIR / "contracts" / "market_raw.yaml")
    collector = Collector(venue(name))
    for raw in recorded(captures, name):
        for key, row in collector.rows(raw):
            value = msgspec.json.decode(row)
            assert contract.line_reasons(row) == [], value["kind"]
            assert key == f"{name}:{value['symbol']}".encode()
