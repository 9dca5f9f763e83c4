"""From produce to the topic `alerts`, for each rule's path, idle and under load, hop by hop.

A node of its own with the whole schema. Probes are events that make an alert at once, each about an account or book of
its own: large_transfer (user_actions, one hop), self_trade (user_actions, through order_watch) and feed_unhealthy
(market_l2). Load is order events of other accounts. Clocks are one machine's.

    python bench/latency.py [--probes 40] [--load 50,2000] [--profiles engine,shipped,low,floor] [--json]

Hops: poll (produced until the node parsed it: flush interval, Kafka, and the block before), chain (until a rule raised
it: the views), publish (until a consumer of `alerts` has it). Profiles, each on a node of its own: `engine` has
ClickHouse's own flush interval; `shipped` that of the contracts; `low` asks for 20 ms; `floor` is `low` with one view
of one line between a topic and the alerts, the least that the engine takes here. `idle` is the node's CPU, in cores,
before the first event.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

sys.path.insert(0, str(Path(__file__).parents[1]))
from chctl import topics
from chctl.clickhouse import connect
from chctl.contracts import ClickHouseConsumer, Contract, load_all
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import start_process
from chctl.render import write
from chctl.settings import PROJECT_DIR, Settings

RULES = ("large_transfer", "self_trade", "feed_unhealthy")

#: Flush interval in ms of the topics that alerts hang on; None: as the contracts say.
PROFILES: dict[str, int | None] = {"engine": 7500, "shipped": None, "low": 20, "floor": 20}

#: The one view of the profile `floor`.
FLOOR = """
CREATE MATERIALIZED VIEW floor_mv TO alerts AS
SELECT event_id AS alert_id, 'large_transfer' AS rule, 'critical' AS severity, 'firing' AS status,
    concat('user:', toString(user_id), '@', ifNull(asset, '')) AS entity, event_time AS started_time, event_time,
    now64(3, 'UTC') AS raised_time
FROM user_actions_landing WHERE amount > 1e8
"""


def probe(rule: str, number: int) -> tuple[str, str, bytes]:
    """(topic, entity, message) of an event that makes the rule fire at once."""
    now = time.time_ns() // 1_000_000
    head = {"event_time": now, "receive_time": now * 1000}
    if rule == "feed_unhealthy":
        symbol = f"P{number}"
        row = {"venue": "probe", "symbol": symbol, "update_type": "gap", "reason": "stale", "window_start": now}
        row |= {"first_seq": 1, "last_seq": 1, "diffs": 0, "price_scale": 2, "size_scale": 2} | head
        return "market_l2", f"probe:{symbol}", json.dumps(row).encode()
    user = 1_000_000_000 + number
    row = {"event_id": f"{rule}-{user}", "user_id": user, "user_tier": "probe"} | head
    if rule == "large_transfer":
        row |= {"action": "deposit", "asset": f"A{number}", "amount": 1e9}
        return "user_actions", f"user:{user}@A{number}", json.dumps(row).encode()
    row |= {"action": "fill", "venue": "probe", "symbol": "X", "order_id": number, "side": "BUY", "price": 1.0}
    row |= {"quantity": 1.0, "trade_id": number, "counterparty_id": user, "liquidity": "maker"}
    return "user_actions", f"user:{user}@probe:X", json.dumps(row).encode()


class Load(threading.Thread):
    """`rate` order events a second of 200 accounts, one message each."""

    def __init__(self, settings: Settings, rate: int) -> None:
        super().__init__(daemon=True)
        self.rate, self.done = rate, threading.Event()
        self.producer = Producer({"bootstrap.servers": settings.kafka_brokers, "linger.ms": 1})

    def run(self) -> None:
        number = time.time_ns()
        while not self.done.wait(0.02):
            for _ in range(max(1, self.rate // 50)):
                number += 1
                now = time.time_ns() // 1_000_000
                row = {
                    "event_id": str(number),
                    "event_time": now,
                    "receive_time": now * 1000,
                    "user_id": number % 200 + 1,
                }
                row |= {"user_tier": "bot", "action": "new", "venue": "load", "symbol": "BTCUSDT", "order_id": number}
                row |= {"side": "BUY", "price": 100.0, "quantity": 1.0}
                self.producer.produce("user_actions", json.dumps(row).encode(), str(row["user_id"]).encode())
            self.producer.poll(0)


def measure(settings: Settings, rule: str, first: int, count: int) -> list[dict[str, float]]:
    """Send `count` probes, one each 150 ms; their hops in ms. One that does not arrive within 40 s raises."""
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": settings.kafka_brokers, "group.id": f"bench-{rule}-{first}"})
    partitions = consumer.list_topics("alerts", 10).topics["alerts"].partitions
    consumer.assign([TopicPartition("alerts", p, 0) for p in partitions])
    sent: dict[str, float] = {}
    hops: dict[str, dict[str, float]] = {}
    next_probe, number = time.time(), first
    deadline = time.time() + count * 0.15 + 40
    while len(hops) < count:
        if time.time() > deadline:
            raise SystemExit(f"{rule}: {len(hops)} of {count} probes arrived")
        if len(sent) < count and time.time() >= next_probe:
            topic, entity, message = probe(rule, number)
            sent[entity] = time.time()
            producer.produce(topic, message, entity.encode())
            producer.poll(0)
            next_probe, number = next_probe + 0.15, number + 1
        answer = consumer.poll(0.002)
        if answer is None or answer.error():
            continue
        for alert in map(json.loads, answer.value().splitlines()):
            at = sent.get(alert["entity"])
            if alert["rule"] == rule and at is not None and alert["entity"] not in hops:
                raised = alert["raised_time"] / 1000
                hops[alert["entity"]] = {"raise": (raised - at) * 1e3, "total": (time.time() - at) * 1e3}
    consumer.close()
    parsed = parse_times(settings, rule, list(hops))
    for entity, hop in hops.items():
        hop["poll"] = (parsed[entity] - sent[entity]) * 1e3 if entity in parsed else float("nan")
        hop["chain"] = hop["raise"] - hop["poll"]
        hop["publish"] = hop["total"] - hop["raise"]
    return list(hops.values())


def parse_times(settings: Settings, rule: str, entities: list[str]) -> dict[str, float]:
    """When the node wrote the probes' own rows, in seconds."""
    sources = {
        "large_transfer": ("user_transfers", "concat('user:', toString(user_id), '@', asset)"),
        "self_trade": ("user_orders", "concat('user:', toString(user_id), '@', venue, ':', symbol)"),
        "feed_unhealthy": ("book_deltas", "concat(venue, ':', symbol)"),
    }
    table, entity = sources[rule]
    with connect(settings) as client:
        answer = client.query(
            f"SELECT {entity} AS entity, toUnixTimestamp64Milli(min(ingest_time)) / 1000 AS at FROM {table} "
            "GROUP BY entity HAVING has({entities:Array(String)}, entity)",
            parameters={"entities": entities},
        )
        return dict(answer.result_rows)


def quantile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 1)


def project(folder: Path, flush_ms: int | None) -> Path:
    """A copy of the project whose topics of alerts are flushed every `flush_ms`."""
    for part in ("migrations", "views", "contracts", "templates"):
        shutil.copytree(PROJECT_DIR / part, folder / part)
    if flush_ms is not None:
        write([quickened(contract, flush_ms) for contract in load_all(folder / "contracts")], folder)
    return folder


def quickened(contract: Contract, flush_ms: int) -> Contract:
    """The contract with another flush interval, if an alert hangs on its own."""
    reader = contract.consumers.clickhouse
    if reader is None or reader.flush_interval_ms == ClickHouseConsumer().flush_interval_ms:
        return contract
    reader = msgspec.structs.replace(reader, flush_interval_ms=flush_ms)
    return msgspec.structs.replace(contract, consumers=msgspec.structs.replace(contract.consumers, clickhouse=reader))


def bare(settings: Settings) -> None:
    """Drop every view but the way in of user_actions and the way out of alerts, and add the one view of the floor."""
    keep = {f"user_actions_{step}_mv" for step in ("parsed", "checked", "landing")} | {"to_kafka_alerts_mv"}
    with connect(settings) as client:
        views = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'"
        for (name,) in client.query(views).result_rows:
            if name not in keep:
                client.command(f"DROP TABLE {name}")
        client.command(FLOOR)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_profile(profile: str, loads: list[int], probes: int) -> Iterator[dict[str, Any]]:
    """A line for each load and rule of a node with that profile."""
    with tempfile.TemporaryDirectory() as node, tempfile.TemporaryDirectory() as files:
        process = start_process(Path(node))
        try:
            settings = process.settings()
            own = settings.model_copy(update={"project_dir": project(Path(files), PROFILES[profile])})
            topics.apply(own, topics.read(own, load_all(own.project_dir / "contracts")))
            migrate(own)
            if profile == "floor":
                bare(settings)
            else:
                with connect(settings) as client:
                    columns, row = "rule, scope, parameter, value", "'self_trade', '*', 'persist_signals', 1"
                    client.command(f"INSERT INTO alert_rules ({columns}) VALUES ({row})")
            time.sleep(3)  # the dictionary of thresholds reloads every second
            before = cpu_seconds(process.pid)
            time.sleep(5)
            idle = round((cpu_seconds(process.pid) - before) / 5, 2)
            first = 1
            for rate in loads:
                load = Load(settings, rate)
                load.start()
                for rule in RULES[:1] if profile == "floor" else RULES:
                    hops = measure(settings, rule, first, probes)
                    first += probes
                    line: dict[str, Any] = {"profile": profile, "idle": idle, "rule": rule, "load": rate}
                    for hop in ("total",) if profile == "floor" else ("poll", "chain", "publish", "total"):
                        values = [h[hop] for h in hops]
                        line |= {f"{hop}_p50_ms": quantile(values, 0.5), f"{hop}_p99_ms": quantile(values, 0.99)}
                    yield line
                load.done.set()
                load.join()
        finally:
            process.stop()
            broker.stop(Path(node))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=40)
    parser.add_argument("--load", default="50,2000", help="Events a second beside the probes.")
    parser.add_argument("--profiles", default=",".join(PROFILES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for profile in options.profiles.split(","):
        for line in measure_profile(profile, list(map(int, options.load.split(","))), options.probes):
            results.append(line)
            if not options.json:
                print(line, flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
