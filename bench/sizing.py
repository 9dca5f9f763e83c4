"""What a row of each busy topic costs the node: bytes stored, over all tables behind it, and CPU of the whole chain.

The rows of the Binance recording (as the normalizer makes them) and of the simulated venue go through every view:
parsing, tables, rollups, rules, and the merges meanwhile. CPU is the engine's own time; a block is what the Kafka
engine hands on ten times a second at most, so the cost of a block of one row counts apart. With --write the figures are
kept in deploy/sizing.yaml, which `chctl sizing` reads. With --live they are compared with a whole node: the rows of a
simulated market go through its broker at two rates, and its CPU stands beside what `chctl sizing` reckons.

    python bench/sizing.py [--write] [--json] [--live]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).parents[1]))
from chctl import sizing, topics
from chctl.contracts import load_all
from chctl.kafka import client_config
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import NodeProcess, start_process
from chctl.settings import PROJECT_DIR
from chctl.simulate.produce import messages
from chctl.simulate.venue import simulate
from feeders.replay import recording
from tests.e2e.market_kit import normalized
from tests.sql.pipeline import Pipeline

CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", Path(__file__).parents[2] / "shared" / "data"))
RECORDING = CAPTURES / "binance" / "spot_btcusdt_20240808.jsonl.gz"
TICK = os.sysconf("SC_CLK_TCK")
#: Rows of each topic that are measured at most.
ROWS = 4000
#: Times that the CPU of a small and of a large block is taken.
ROUNDS = 10
#: What a whole node is watched at: rows a second, and for how long.
LIVE_RATES, LIVE_SECONDS = (5, 40, 400), 20
#: Rows that feeders pack into one message at most, for the broker's compression.
PACK = 200


def given() -> dict[str, list[str]]:
    """JSON rows by topic that have just happened, the recording where there is one."""
    lines: dict[str, list[str]] = collections.defaultdict(list)
    if RECORDING.exists():
        for row in normalized(recording(RECORDING, "BTCUSDT"), dt.datetime.now(dt.UTC)):
            lines[row.topic].append(row.value.decode())
    else:
        print(f"no {RECORDING}: market rows are simulated ones", file=sys.stderr)
    market = simulate(1, 8)
    for _, topic, _, value in messages(market, int(time.time() * 1000) - market.seconds * 1000):
        if topic == "user_actions" or not RECORDING.exists():
            lines[topic] += value.decode().splitlines()
    # the last ones: a simulated market begins with a month of transfers
    return {topic: rows[-ROWS:] for topic, rows in lines.items()}


def cpu_seconds(pid: int) -> float:
    """CPU time of the engine's process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def stored_bytes(pipeline: Pipeline) -> dict[str, int]:
    """Bytes of every table that has grown, each merged into one part a partition."""
    tables = pipeline.engine.rows(
        "SELECT name FROM system.tables WHERE database = 'chctl' AND engine LIKE '%MergeTree' AND total_rows > 0"
    )
    for table in tables:
        pipeline.engine.query(f"OPTIMIZE TABLE {table['name']} FINAL")
    rows = pipeline.engine.rows(
        "SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'chctl' AND active GROUP BY table"
    )
    return {row["table"]: int(row["bytes"]) for row in rows}


def spend(pipeline: Pipeline, topic: str, lines: list[str]) -> float:
    """CPU seconds of one block of these lines."""
    rows = "\n".join(json.dumps({"raw": line, "_topic": topic, "_partition": 0, "_offset": 1}) for line in lines)
    before = cpu_seconds(pipeline.engine.pid)
    pipeline.engine.query(f"INSERT INTO kafka_{topic} (raw, _topic, _partition, _offset) FORMAT JSONEachRow {rows}")
    return cpu_seconds(pipeline.engine.pid) - before


def cost(pipeline: Pipeline, topic: str, lines: list[str]) -> tuple[float, float]:
    """CPU seconds of a block, and of each row in it.

    Blocks of one row and of all rows go in by turns, so that merges of either fall on both. The first blocks are
    slower than any later one and do not count.
    """
    for some in (lines[:1], lines[:1], lines):
        spend(pipeline, topic, some)
    few = many = 0.0
    for number in range(ROUNDS):
        few += spend(pipeline, topic, [lines[number]])
        many += spend(pipeline, topic, lines)
    row = (many - few) / ROUNDS / (len(lines) - 1)
    block = few / ROUNDS - row
    if row <= 0 or block <= 0:
        sys.exit(f"{topic}: a row costs {row * 1e6:.1f} us, a block {block * 1e3:.1f} ms: is the machine busy?")
    return block, row


def measure(pipeline: Pipeline, topic: str, lines: list[str]) -> dict[str, Any]:
    """The figures of one topic: what the engine's tables grow by, and its CPU."""
    base = stored_bytes(pipeline)
    block, row = cost(pipeline, topic, lines)
    grown = {table: size - base.get(table, 0) for table, size in stored_bytes(pipeline).items()}
    packs = ["\n".join(lines[at : at + PACK]).encode() for at in range(0, len(lines), PACK)]
    packed = sum(len(pa.compress(pack, codec="lz4", asbytes=True)) for pack in packs)
    tables = {table: round(size / len(lines), 2) for table, size in sorted(grown.items()) if size / len(lines) > 0.05}
    return {
        "rows": len(lines),
        "disk_bytes_per_row": round(sum(tables.values()), 1),
        "broker_bytes_per_row": round(packed / len(lines), 1),
        "wire_bytes_per_row": round(sum(map(len, lines)) / len(lines), 1),
        "cpu_us_per_row": round(row * 1e6, 2),
        "cpu_ms_per_block": round(block * 1e3, 1),
        "tables": tables,
    }


@contextlib.contextmanager
def whole_node() -> Iterator[NodeProcess]:
    """A node with its broker, topics and schema, at rest."""
    with tempfile.TemporaryDirectory() as folder:
        process = start_process(Path(folder))
        try:
            settings = process.settings()
            topics.apply(settings, topics.read(settings, load_all(PROJECT_DIR / "contracts")))
            migrate(settings)
            time.sleep(10)
            yield process
        finally:
            process.stop()
            broker.stop(Path(folder))


def busy(process: NodeProcess, topic: str = "", rows: list[str] | None = None, rate: float = 0) -> float:
    """Cores that the node is busy with over LIVE_SECONDS, one message a row at `rate` a second."""
    producer = Producer(client_config(process.settings()) | {"linger.ms": 0})
    before, began, sent = cpu_seconds(process.pid), time.monotonic(), 0
    while (passed := time.monotonic() - began) < LIVE_SECONDS:
        while rows and sent < passed * rate:
            producer.produce(topic, rows[sent % len(rows)].encode(), str(sent))
            sent += 1
        producer.poll(0.005)
    producer.flush(10)
    return (cpu_seconds(process.pid) - before) / (time.monotonic() - began)


def live(lines: dict[str, list[str]], figures: sizing.Figures) -> Iterator[dict[str, Any]]:
    """The node's CPU at each rate beside what sizing reckons for it, without the factor for peaks."""
    contracts = {contract.topic: contract for contract in load_all(PROJECT_DIR / "contracts")}
    with whole_node() as process:
        yield {"topic": "nothing", "rows_per_s": 0, "cores": round(busy(process), 3), "reckoned": figures.idle_cores}
        for topic in figures.topics:
            for rate in LIVE_RATES:
                cores = round(busy(process, topic, lines[topic], rate), 3)
                (stream,) = sizing.size(figures, contracts, {topic: rate}, 30).streams
                reckoned = round(figures.idle_cores + stream.cores, 3)
                ratio = round(reckoned / cores, 2)
                yield {"topic": topic, "rows_per_s": rate, "cores": cores, "reckoned": reckoned, "ratio": ratio}


def machine() -> str:
    """The class of this machine, in words."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--live", action="store_true", help="compare the kept figures with a whole node")
    options = parser.parse_args()
    lines = given()
    if options.live:
        for line in live(lines, sizing.load(PROJECT_DIR / "deploy" / "sizing.yaml")):
            print(json.dumps(line), flush=True)
        return
    with whole_node() as process:
        idle = round(busy(process), 3)
    pipeline = Pipeline()
    pipeline.engine.query("SYSTEM STOP VIEWS")  # refreshed views cost CPU by the clock, not by the row
    costs = {}
    for topic in ("market_l2", "market_trades", "user_actions"):
        costs[topic] = measure(pipeline, topic, lines[topic])
        print(topic, json.dumps(costs[topic]), file=sys.stderr, flush=True)
    pipeline.close()
    figures = {"measured": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine(), "idle_cores": idle}
    figures["topics"] = costs
    if options.write:
        header = "# What a row costs the node: written by `python bench/sizing.py --write`, read by `chctl sizing`.\n"
        text = yaml.safe_dump(figures, sort_keys=False)
        (PROJECT_DIR / "deploy" / "sizing.yaml").write_text(header + text)
    print(json.dumps(figures) if options.json else yaml.safe_dump(figures, sort_keys=False))


if __name__ == "__main__":
    main()
