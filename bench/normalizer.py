"""How many diffs a second one process turns from raw messages into encoded rows, and where the time goes.

    python bench/normalizer.py [--json] [--no-broker] [--only memory|feeds|recordings|broker]

A diff is one level change; in the synthetic feeds each comes in a message of its own (the worst case), 2, 20 or 200
of them a window and symbol. Beside the normalizer, in the same run and on the same messages: the usual way to write
one (orjson, a dict a side, heapq for the ten best, orjson again), and decoding alone. Figures are of processor time,
the best of five runs, garbage collection on; snapshots are loaded before the clock runs. The baseline checks no
sequence, no crossing, keeps floats, and publishes every window. `floor_times_decode` is what decoding and encoding
would take with nothing between them, beside decoding alone.

Goals: at least 1.7 times the baseline at 20 diffs a window and 4 times at 2, within 3 times of decoding alone, 150 k
diffs/s through the broker in and out, memory flat over an hour of simulated feed.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))
from chctl.settings import PROJECT_DIR, Settings
from feeders.book import Book
from feeders.events import BookUpdate, Raw
from feeders.normalizer import Normalizer
from feeders.replay import recording
from feeders.sources import venue

CAPTURES = Path(os.environ.get("CHCTL_CAPTURES") or PROJECT_DIR.parent / "shared" / "data")
START = 1_700_000_000_000  # ms


def synthetic(
    per_window: int,
    windows: int,
    symbols: int = 10,
    depth: int = 1000,
    seed: int = 7,
    begin: int = START,
    swing: int = 0,
    trades: int = 0,
) -> Iterator[Raw]:
    """Binance messages of one diff each, `per_window` a symbol and 100 ms window, after a snapshot of every symbol.

    Distances from the best price are exponential (mean 30 ticks); half of the diffs change a level, a quarter remove
    one, a quarter add one. With `swing` the price moves too: a tick a window, so many windows up and as many down.
    `trades` of them a symbol and window.
    """
    rng = random.Random(seed)
    names = [f"SYM{i}USDT" for i in range(symbols)]
    mids = [60_000_00 + i for i in range(symbols)]
    books: list[tuple[dict[int, bool], dict[int, bool]]] = []
    sequence = 1
    for name, mid in zip(names, mids, strict=True):
        bids, asks = {mid - i: True for i in range(1, depth + 1)}, {mid + i: True for i in range(1, depth + 1)}
        books.append((bids, asks))
        levels = [[[f"{t / 100:.2f}000000", "1.50000000"] for t in side] for side in (bids, asks)]
        message = {"lastUpdateId": sequence, "bids": levels[0], "asks": levels[1]}
        yield Raw(begin * 1000, json.dumps(message).encode(), "snapshot", name)
    last = [sequence] * symbols
    traded = 0

    def diff(s: int, at: int, side: int, ticks: int, size: str) -> Raw:
        level = f'["{ticks / 100:.2f}000000","{size}"]'
        sides = ("", level) if side else (level, "")
        last[s] += 1
        data = (
            f'{{"stream":"{names[s].lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{at},"s":"{names[s]}",'
            f'"U":{last[s]},"u":{last[s]},"b":[{sides[0]}],"a":[{sides[1]}]}}}}'
        )
        return Raw(at * 1000, data.encode(), "message", "", "c")

    for window in range(windows):
        if swing:
            step = 1 if window // swing % 2 == 0 else -1
            for s in range(symbols):
                mids[s] += step
                if books[s][step > 0].pop(mids[s], None):  # the level that the price moved onto
                    yield diff(s, begin + window * 100, int(step > 0), mids[s], "0.00000000")
        for i in range(per_window):
            at = begin + window * 100 + i * 100 // per_window
            for s in range(symbols):
                side = rng.randrange(2)
                book = books[s][side]
                ticks = mids[s] + (1 if side else -1) * (1 + int(rng.expovariate(1 / 30)))
                removes = ticks in book and rng.random() < 1 / 3
                book.pop(ticks, None) if removes else book.update({ticks: True})
                size = "0.00000000" if removes else f"{rng.random() * 9 + 0.001:.5f}000"
                yield diff(s, at, side, ticks, size)
        for s in list(range(symbols)) * trades:
            traded, at = traded + 1, begin + window * 100 + 99
            data = (
                f'{{"stream":"{names[s].lower()}@trade","data":{{"e":"trade","E":{at},"s":"{names[s]}","t":{traded},'
                f'"p":"{mids[s] / 100:.2f}000000","q":"0.01000000","T":{at},"m":false}}}}'
            )
            yield Raw(at * 1000, data.encode(), "message", "", "c")


class Baseline:
    """orjson, a dict a side, heapq: the rows a first version would publish."""

    def __init__(self) -> None:
        self.books: dict[str, list[Any]] = {}
        self.rows = 0

    def run(self, raws: Iterable[Raw]) -> None:
        """Take messages, make rows."""
        books = self.books
        for raw in raws:
            if raw.kind == "snapshot":
                snapshot = orjson.loads(raw.data)
                sides = [{float(p): float(q) for p, q in snapshot[name]} for name in ("bids", "asks")]
                books[raw.symbol] = [sides[0], sides[1], 0, {}, {}]
                continue
            message = orjson.loads(raw.data)["data"]
            if message.get("e") != "depthUpdate" or message["s"] not in books:
                continue
            book = books[message["s"]]
            window = message["E"] // 100
            if window != book[2] and book[2]:
                self.rows += len(baseline_row(message["s"], book, message)) > 0
                book[3], book[4] = {}, {}
            book[2] = window
            for side, changed, levels in ((book[0], book[3], message["b"]), (book[1], book[4], message["a"])):
                for price, size in levels:
                    p, q = float(price), float(size)
                    changed[p] = changed.get(p, 0.0) + q - side.get(p, 0.0)
                    if q:
                        side[p] = q
                    else:
                        side.pop(p, None)


def baseline_row(symbol: str, book: list[Any], message: dict[str, Any]) -> bytes:
    """Ten levels a side, changes, times."""
    bids, asks = heapq.nlargest(10, book[0].items()), heapq.nsmallest(10, book[1].items())
    return orjson.dumps(
        {
            "venue": "binance",
            "symbol": symbol,
            "window_start": book[2] * 100,
            "event_time": message["E"],
            "last_seq": message["u"],
            "bids": bids,
            "asks": asks,
            "delta_bids": list(book[3].items()),
            "delta_asks": list(book[4].items()),
        }
    )


class Decoding:
    """Only what turns bytes into typed events."""

    def __init__(self, name: str) -> None:
        self.decode = venue(name).decoder().decode

    def run(self, raws: Iterable[Raw]) -> None:
        """Take messages."""
        decode = self.decode
        for raw in raws:
            for _ in decode(raw):
                pass


class Applying:
    """Decoding and the books: no rules, no windows, no rows."""

    def __init__(self, name: str) -> None:
        self.decode = venue(name).decoder().decode
        self.books: dict[str, Book] = {}

    def run(self, raws: Iterable[Raw]) -> None:
        """Take messages, change books."""
        for raw in raws:
            for event in self.decode(raw):
                if type(event) is BookUpdate:
                    book = self.books.get(event.symbol)
                    if event.snapshot:
                        self.books[event.symbol] = book = Book()
                        book.load(event.bids, event.asks)
                    elif book:
                        book.note(event.bids, event.asks)
                        if len(book.bids.noted) > 50:
                            book.work_in()
                            book.settle()


class Normalizing:
    """The whole way to encoded rows."""

    def __init__(self, name: str) -> None:
        self.normalizer = Normalizer(venue(name))

    def run(self, raws: Iterable[Raw]) -> None:
        """Take messages, make rows."""
        normalizer = self.normalizer
        for batch in batched(raws, 256):  # as the sources hand them on
            normalizer.feed(*batch)
            normalizer.take()
        normalizer.flush()


def batched(raws: Iterable[Raw], size: int) -> Iterator[list[Raw]]:
    """Messages in batches of `size`."""
    remaining = iter(raws)
    while batch := list(islice(remaining, size)):
        yield batch


def seconds(prepare: Callable[[], Callable[[], object]], runs: int = 5) -> float:
    """Processor seconds of what `prepare` returns, the best of a few runs: other work on the machine does not count."""
    best = 1e9
    for _ in range(runs):
        work = prepare()
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def encoding(name: str, head: list[Raw], tail: list[Raw]) -> float:
    """Seconds of what turns the rows of `tail` into bytes and nothing else: from plain dicts, by orjson."""
    normalizer = Normalizer(venue(name))
    normalizer.feed(*head)
    normalizer.take()
    rows = []
    for batch in batched(tail, 256):
        normalizer.feed(*batch)
        rows += [orjson.loads(value) for _, _, value in normalizer.take()]
    return seconds(lambda: lambda: [orjson.dumps(row) for row in rows])


def compare(name: str, raws: list[Raw], ways: tuple[str, ...] = (), start: int = 0) -> dict[str, float]:
    """Diffs a second of each way, and the shares of the normalizer's time; the first `start` messages do not count."""
    head, tail = raws[:start], raws[start:]

    def time_of(make: Callable[[], Any]) -> float:
        def prepare() -> Callable[[], object]:
            subject = make()
            subject.run(head)
            return lambda: subject.run(tail)

        return seconds(prepare)

    subject = Normalizing(name)
    subject.run(head)
    before = subject.normalizer.counts["diffs"]
    subject.run(tail)
    counts = subject.normalizer.counts
    diffs = counts["diffs"] - before
    decode, apply = time_of(lambda: Decoding(name)), time_of(lambda: Applying(name))
    whole, encode = time_of(lambda: Normalizing(name)), encoding(name, head, tail)
    result = {
        "diffs": diffs,
        "messages": len(tail),
        "rows": counts["windows"] + counts["trades"],
        "diffs_per_s": diffs / whole,
        "decode_alone_per_s": diffs / decode,
        "times_decode": whole / decode,
        "floor_times_decode": (decode + encode) / decode,
        "share_decode": decode / whole,
        "share_book": max(apply - decode, 0) / whole,
        "share_rules_windows_rows": max(whole - apply, 0) / whole,
    }
    if "baseline" in ways:
        base = time_of(Baseline)
        result |= {"baseline_per_s": diffs / base, "times_baseline": base / whole}
    return result


def memory(hours: float = 1.0) -> dict[str, float]:
    """Resident memory over simulated time: 5 symbols, 2 diffs and 4 trades a window, the price on its way all the time.

    Sampled every ten minutes and in the end; and how large the tables of texts and trade ids are then.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    normalizer = Normalizer(venue("binance"))
    samples: list[float] = []
    begin = START

    def sample() -> None:
        samples.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 1e6)

    for raw in synthetic(2, int(hours * 36_000), symbols=5, swing=3_000, trades=4):
        normalizer.feed(raw)
        normalizer.take()
        if raw.receive_time >= begin * 1000 + 600_000_000:
            begin += 600_000
            sample()
    sample()
    states = normalizer._states.values()
    texts = max(len(t) for s in states for t in (s.book.bids.ticks, s.book.asks.ticks, s.book.sizes))
    return {
        "hours": hours,
        "messages": normalizer.counts["messages"],
        "rows": normalizer.counts["windows"] + normalizer.counts["trades"],
        **{f"after_{10 * i}_min_mb": sample for i, sample in enumerate(samples, 1)},
        "texts_in_largest_table": texts,
        "trade_ids_in_largest_table": max(len(s.trades) for s in states),
    }


def through_broker(brokers: str, per_window: int, windows: int) -> dict[str, float]:
    """Raw messages on a topic, normalized, rows on a topic, until all is acknowledged: one process, a broker beside it.

    The messages stand on the topic as a busy collector leaves them: the rows of one key packed.
    """
    from confluent_kafka.admin import AdminClient, NewTopic

    from feeders import raw_topic
    from feeders.market import run_market
    from feeders.runtime import Publisher, Stop

    s = Settings(kafka_brokers=brokers)
    admin = AdminClient({"bootstrap.servers": brokers})
    names = ("market_raw", "market_l2", "market_trades")
    topics = [NewTopic(name, num_partitions=1, replication_factor=1) for name in names]
    for future in admin.create_topics(topics).values():
        future.result(20)
    publisher = Publisher(s, buffer_bytes=1 << 30)
    for batch in batched(synthetic(per_window, windows), 5_000):
        raw_topic.publish(publisher, venue("binance"), batch)
        publisher.drain(60)
    publisher.close()
    source = raw_topic.RawTopic(s, venue("binance"), group="bench")
    stop = Stop()
    began: list[tuple[float, float]] = []
    reading = source.reader.read

    def timed(limit: int, timeout: float) -> list[Any]:
        messages = reading(limit, timeout)
        if messages and not began:
            began.append((time.perf_counter(), time.process_time()))
        elif began and not messages:
            stop.set()
        return messages

    source.reader.read = timed  # type: ignore[method-assign, assignment]
    out = Publisher(s)
    report = asyncio.run(run_market(source, out, stop=stop))
    took, cpu = time.perf_counter() - began[0][0], time.process_time() - began[0][1]
    out.close()
    diffs = report.counts["diffs"]
    rows = sum(report.produced.values())
    # On a busy machine the wall's clock says little; the processor's is of this process, its Kafka threads included.
    return {"diffs": diffs, "rows": rows, "diffs_per_s": diffs / took, "diffs_per_cpu_s": diffs / cpu}


def through_brokers(per_window: int, windows: int, runs: int = 3) -> Iterator[tuple[str, dict[str, float]]]:
    """The best of a few runs through the embedded broker, and through Apache Kafka where Java and Maven are."""
    from chctl.node import broker
    from tests.kafka import server

    def best(address: Callable[[Path], str], end: Callable[[Path], object]) -> dict[str, float]:
        results = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                data = Path(folder) / "broker"
                data.mkdir()
                try:
                    results.append(through_broker(address(data), per_window, windows))
                finally:
                    end(data)
        return max(results, key=lambda result: result["diffs_per_s"])

    yield "the embedded broker", best(lambda data: broker.ensure(data, 0).address, broker.stop)
    if lacking := server.missing():
        print(f"Apache Kafka is left out: no {lacking}", file=sys.stderr)
        return
    kafkas: list[server.ApacheKafka] = []

    def start(data: Path) -> str:
        kafkas.append(server.ApacheKafka(data))
        kafkas[-1].start()
        return kafkas[-1].brokers

    yield "Apache Kafka", best(start, lambda _: kafkas[-1].stop())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--no-broker", action="store_true", help="leave out what goes through a broker")
    parts = ("memory", "feeds", "recordings", "broker")
    parser.add_argument("--only", choices=parts, help="one part")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    results: dict[str, dict[str, float]] = {}

    def report(label: str, result: dict[str, float]) -> None:
        results[label] = result
        if not arguments.json:
            cells = "  ".join(f"{k} {v:,.2f}" if v < 100 else f"{k} {v:,.0f}" for k, v in result.items())
            print(f"{label}: {cells}", flush=True)

    wanted = {arguments.only} if arguments.only else set(parts) - ({"broker"} if arguments.no_broker else set())
    if "memory" in wanted:  # first: what other measurements leave free would hide a growth
        report("memory", memory())
    if "feeds" in wanted:
        for per_window, windows in ((2, 1500), (20, 200), (200, 20)):
            raws = list(synthetic(per_window, windows))
            report(f"{per_window} diffs a window", compare("binance", raws, ("baseline",), 10))
    files = {
        "binance": "binance/spot_btcusdt_20240808.jsonl.gz",
        "binance_usdm": "binance/usdm_btcusdt_20240808.jsonl.gz",
        "kraken": "kraken/kraken_20210417.jsonl.gz",
        "okx": "okx/okx_20220513.jsonl.gz",
        "coinbase": "coinbase/coinbase_202608.jsonl.gz",
    }
    for name, file in files.items():
        if "recordings" in wanted and (CAPTURES / file).exists():
            raws = list(recording(CAPTURES / file, "BTCUSDT"))
            report(f"recording {name}", compare(name, raws, ("baseline",) if name.startswith("binance") else ()))
    if "broker" in wanted:
        for name, result in through_brokers(20, 2000):
            report(f"through {name}, 20 diffs a window", result)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
