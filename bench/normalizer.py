"""How many diffs a second one process turns from raw messages into encoded rows, and where the time goes.

    python bench/normalizer.py [--json] [--no-broker]

A diff is one level change; in the synthetic feeds each comes in a message of its own (the worst case), 2, 20 or 200
of them a window and symbol. Beside the normalizer, in the same run and on the same messages: the usual way to write
one (orjson, a dict a side, heapq for the ten best, orjson again), and decoding alone. Figures are of processor time,
the best of three runs, garbage collection on; snapshots are loaded before the clock runs. The baseline checks no
sequence, no crossing, keeps floats, and publishes every window.

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
    per_window: int, windows: int, symbols: int = 10, depth: int = 1000, seed: int = 7, begin: int = START
) -> Iterable[Raw]:
    """Binance messages of one diff each, `per_window` a symbol and 100 ms window, after a snapshot of every symbol.

    Distances from the best price are exponential (mean 30 ticks); half of the diffs change a level, a quarter remove
    one, a quarter add one.
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
    for window in range(windows):
        for i in range(per_window):
            at = begin + window * 100 + i * 100 // per_window
            for s, name in enumerate(names):
                side = rng.randrange(2)
                book = books[s][side]
                ticks = mids[s] + (1 if side else -1) * (1 + int(rng.expovariate(1 / 30)))
                removes = ticks in book and rng.random() < 1 / 3
                book.pop(ticks, None) if removes else book.update({ticks: True})
                size = "0.00000000" if removes else f"{rng.random() * 9 + 0.001:.5f}000"
                level = f'["{ticks / 100:.2f}000000","{size}"]'
                sides = ("", level) if side else (level, "")
                last[s] += 1
                data = (
                    f'{{"stream":"{name.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{at},"s":"{name}",'
                    f'"U":{last[s]},"u":{last[s]},"b":[{sides[0]}],"a":[{sides[1]}]}}}}'
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


def seconds(prepare: Callable[[], Callable[[], object]], runs: int = 3) -> float:
    """Processor seconds of what `prepare` returns, the best of a few runs: other work on the machine does not count."""
    best = 1e9
    for _ in range(runs):
        work = prepare()
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


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
    whole = time_of(lambda: Normalizing(name))
    result = {
        "diffs": diffs,
        "messages": len(tail),
        "rows": counts["windows"] + counts["trades"],
        "diffs_per_s": diffs / whole,
        "decode_alone_per_s": diffs / decode,
        "times_decode": whole / decode,
        "share_decode": decode / whole,
        "share_book": max(apply - decode, 0) / whole,
        "share_rules_windows_rows": max(whole - apply, 0) / whole,
    }
    if "baseline" in ways:
        base = time_of(Baseline)
        result |= {"baseline_per_s": diffs / base, "times_baseline": base / whole}
    return result


def memory(hours: float = 1.0) -> dict[str, float]:
    """Resident memory over simulated time: 5 symbols, 2 diffs a window."""
    page = os.sysconf("SC_PAGE_SIZE")
    normalizer = Normalizer(venue("binance"))
    samples = []
    windows = int(hours * 36_000)
    for i, raw in enumerate(synthetic(2, windows, symbols=5)):
        normalizer.feed(raw)
        normalizer.take()
        if i % (windows * 10 // 6) == 0:
            samples.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 1e6)
    return {"hours": hours, "after_10_min_mb": samples[1], "at_the_end_mb": samples[-1]}


def through_broker(per_window: int, windows: int) -> dict[str, float]:
    """Raw messages on a topic, normalized, rows on a topic: one process, a broker beside it, until all is
    acknowledged.
    """
    from confluent_kafka.admin import AdminClient, NewTopic

    from chctl.node import broker
    from feeders import raw_topic
    from feeders.market import run_market
    from feeders.runtime import Publisher, Stop

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        try:
            s = Settings(kafka_brokers=broker.ensure(data, 0).address)
            admin = AdminClient({"bootstrap.servers": s.kafka_brokers})
            topics = [NewTopic(t, num_partitions=1) for t in ("market_raw", "market_l2", "market_trades")]
            for future in admin.create_topics(topics).values():
                future.result(10)
            raws = list(synthetic(per_window, windows))
            publisher = Publisher(s, buffer_bytes=1 << 30)
            for begin in range(0, len(raws), 5_000):
                raw_topic.publish(publisher, venue("binance"), raws[begin : begin + 5_000])
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

            source.reader.read = timed  # type: ignore[method-assign]
            out = Publisher(s)
            report = asyncio.run(run_market(source, out, stop=stop))
            took, cpu = time.perf_counter() - began[0][0], time.process_time() - began[0][1]
            out.close()
        finally:
            broker.stop(data)
    diffs = report.counts["diffs"]
    rows = sum(report.produced.values())
    # On a busy machine the wall's clock says little; the processor's is of this process, its Kafka threads included.
    return {"diffs": diffs, "rows": rows, "diffs_per_s": diffs / took, "diffs_per_cpu_s": diffs / cpu}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--no-broker", action="store_true", help="leave out what goes through a broker")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    results: dict[str, dict[str, float]] = {}

    def report(label: str, result: dict[str, float]) -> None:
        results[label] = result
        if not arguments.json:
            cells = "  ".join(f"{k} {v:,.2f}" if v < 100 else f"{k} {v:,.0f}" for k, v in result.items())
            print(f"{label}: {cells}", flush=True)

    report("memory", memory())  # first: what other measurements leave free would hide a growth
    for per_window, windows in ((2, 1500), (20, 200), (200, 20)):
        report(
            f"{per_window} diffs a window", compare("binance", list(synthetic(per_window, windows)), ("baseline",), 10)
        )
    files = {
        "binance": "binance/spot_btcusdt_20240808.jsonl.gz",
        "binance_usdm": "binance/usdm_btcusdt_20240808.jsonl.gz",
        "kraken": "kraken/kraken_20210417.jsonl.gz",
        "okx": "okx/okx_20220513.jsonl.gz",
        "coinbase": "coinbase/coinbase_202608.jsonl.gz",
    }
    for name, file in files.items():
        if (CAPTURES / file).exists():
            raws = list(recording(CAPTURES / file, "BTCUSDT"))
            report(f"recording {name}", compare(name, raws, ("baseline",) if name.startswith("binance") else ()))
    if not arguments.no_broker:
        report("through the broker, 20 diffs a window", through_broker(20, 1000))
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
