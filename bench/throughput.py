"""Rows a second from a Kafka topic into tables, beside a direct insert of the same rows, all in one run.

A topic is filled while nothing reads it, then its reader is attached; time and rows count from when the first block is
stored, whatever joining the group takes. Packed: 200 rows a message, as feeders send; single: one row a message.
Three ways, on one node:

- direct: the same lines by HTTP, `INSERT ... FORMAT JSONEachRow` into a plain table of the topic's columns
- bare: a Kafka table, one view that parses, the same plain table
- whole: the project's whole chain, with all views of the topic: parsing, checking against the
  contract, tables, rollups, rules. They are named in the output.

Through Apache Kafka where Java and Maven are, else through the embedded broker.

    python bench/throughput.py [--rows 1000000] [--json]

Goals: bare at least 0.32 of direct and 450,000 rows a second packed, 100,000 single.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).parents[1]))
from chctl import topics
from chctl.clickhouse import connect
from chctl.contracts import load_all
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import start_process
from chctl.project import Project
from chctl.settings import PROJECT_DIR, Settings
from tests.kafka import server

#: Rows that feeders pack into one message at most.
PACK = 200
#: Rows of one HTTP insert.
BATCH = 65_536
#: Partitions of the topics of the bare chain: those of market_trades.
PARTITIONS = 6
#: Readers of the bare chain: one more than cores, so that one stores while the others wait for the broker.
CONSUMERS = 3
COLUMNS = {
    "market_trades": (
        "venue LowCardinality(String), symbol LowCardinality(String), trade_id UInt64, event_time Int64, "
        "receive_time Int64, price Float64, quantity Float64, side LowCardinality(String), taker Bool, order_id UInt64"
    ),
    "user_actions": (
        "event_id String, event_time Int64, receive_time Int64, user_id UInt64, user_tier LowCardinality(String), "
        "action LowCardinality(String), venue LowCardinality(String), symbol LowCardinality(String), order_id UInt64, "
        "side LowCardinality(String), price Float64, quantity Float64"
    ),
}
STORED = {"market_trades": "trades", "user_actions": "user_orders"}
ORDER = {"market_trades": "symbol, trade_id", "user_actions": "user_id, order_id"}


class Line(NamedTuple):
    """Rates in rows a second."""

    topic: str
    messages: str
    rows: int
    direct: int
    bare: int
    whole: int


def row(topic: str, number: int, now_ms: int) -> dict[str, object]:
    """The row with that number: 20 books, 200 accounts, 10 rows a millisecond."""
    at = now_ms + number // 10
    if topic == "market_trades":
        found: dict[str, object] = {"venue": "bench", "symbol": f"S{number % 20}", "trade_id": number}
        found |= {"event_time": at, "receive_time": at * 1000 + number % 1000}
        price, quantity = 60_000 + number % 977 / 100, (number % 89 + 1) / 1000
        return found | {"price": price, "quantity": quantity, "side": "BUY", "taker": True, "order_id": number}
    found = {"event_id": str(number), "event_time": at, "receive_time": at * 1000, "user_id": number % 200 + 1}
    found |= {"user_tier": "bot", "action": "new", "venue": "bench", "symbol": f"S{number % 20}", "order_id": number}
    return found | {"side": "BUY", "price": 60_000 + number % 977 / 100, "quantity": 1.0}


def lines(topic: str, first: int, rows: int) -> list[bytes]:
    """That many rows that have just happened, numbered from `first`, as lines of JSON."""
    now_ms = int(time.time() * 1000) - (first + rows) // 10
    return [json.dumps(row(topic, number, now_ms)).encode() for number in range(first, first + rows)]


def pack(rows: list[bytes], size: int) -> list[bytes]:
    """Messages of that many rows."""
    return [b"\n".join(rows[at : at + size]) for at in range(0, len(rows), size)]


def produce(brokers: str, topic: str, messages: list[bytes]) -> None:
    """Send all messages, spread over the partitions; raises RuntimeError where one is not acknowledged."""
    options = {"bootstrap.servers": brokers, "linger.ms": 20, "compression.type": "lz4"}
    producer = Producer(options | {"queue.buffering.max.messages": 1_000_000, "batch.num.messages": 10_000})
    lost: list[str] = []

    def delivered(error: object, _: object) -> None:
        if error:
            lost.append(str(error))

    for number, message in enumerate(messages):
        while True:
            try:
                producer.produce(topic, message, str(number % 997), on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60) or lost:
        raise RuntimeError(f"{topic}: not all messages were acknowledged: {lost[:1]}")


def stored(client: Client, table: str) -> int:
    """Rows of the table, as its parts say: counting them costs next to nothing."""
    sql = "SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}"
    return int(client.query(sql, parameters={"table": table}).result_rows[0][0])


def rate(client: Client, table: str, rows: int) -> float:
    """Rows a second into `table`, from its first new block until `rows` more are in it; the first block is not counted.

    Raises RuntimeError where that takes more than ten minutes.
    """
    before = stored(client, table)
    first, begun = 0, time.monotonic()
    deadline = begun + 600
    while time.monotonic() < deadline:
        count, now = stored(client, table) - before, time.monotonic()
        if not first:
            first, begun = count, now
        elif count >= rows:
            return (count - first) / (now - begun)
        time.sleep(0.005)
    raise RuntimeError(f"{table}: {count} of {rows} rows in ten minutes")


def direct(client: Client, topic: str, rows: list[bytes]) -> float:
    """Rows a second by HTTP."""
    client.command(f"CREATE TABLE direct_{topic} ({COLUMNS[topic]}) ENGINE = MergeTree ORDER BY ({ORDER[topic]})")
    bodies = pack(rows, BATCH)
    begun = time.monotonic()
    for body in bodies:
        client.raw_insert(f"direct_{topic}", insert_block=body, fmt="JSONEachRow")
    took = time.monotonic() - begun
    assert stored(client, f"direct_{topic}") == len(rows)
    return len(rows) / took


def bare(client: Client, settings: Settings, topic: str, rows: list[bytes], size: int) -> float:
    """Rows a second through a Kafka table and one view."""
    name = f"bench_{topic}_{size}"
    admin = AdminClient({"bootstrap.servers": settings.kafka_brokers})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(20)
    produce(settings.kafka_brokers, name, pack(rows, size))
    # Plain String on the Kafka table, LowCardinality only in the target.
    read = COLUMNS[topic].replace("LowCardinality(String)", "String")
    client.command(f"CREATE TABLE {name} ({COLUMNS[topic]}) ENGINE = MergeTree ORDER BY ({ORDER[topic]})")
    client.command(
        f"CREATE TABLE kafka_{name} ({read}) ENGINE = Kafka(chctl_kafka) SETTINGS kafka_topic_list = '{name}', "
        f"kafka_group_name = '{name}', kafka_format = 'JSONEachRow', kafka_num_consumers = {CONSUMERS}, "
        f"kafka_max_block_size = {BATCH}, kafka_poll_max_batch_size = {BATCH // size}, kafka_flush_interval_ms = 100"
    )
    client.command(f"CREATE MATERIALIZED VIEW {name}_mv TO {name} AS SELECT * FROM kafka_{name}")
    found = rate(client, name, len(rows))
    client.command(f"DROP TABLE {name}_mv")
    client.command(f"DROP TABLE kafka_{name}")
    return found


def whole(client: Client, settings: Settings, topic: str, rows: list[bytes], size: int) -> float:
    """Rows a second through all that the project hangs on the topic; its reader is away while the topic is filled."""
    client.command(f"DETACH TABLE kafka_{topic}")
    produce(settings.kafka_brokers, topic, pack(rows, size))
    client.command(f"ATTACH TABLE kafka_{topic}")
    return rate(client, STORED[topic], len(rows))


def views(topic: str) -> list[str]:
    """The views that a row of the topic may pass, in order of name."""
    project = Project.read(PROJECT_DIR)
    definitions = [view.definition for view in project.views]
    reached, found = {f"kafka_{topic}"}, set[str]()
    while new := [d for d in definitions if d.trigger in reached and d.name not in found]:
        found |= {d.name for d in new}
        targets = {d.target for d in new if d.target}
        reached |= targets | {project.relays[name] for name in targets & project.relays.keys()}
    return sorted(found)


def measure(settings: Settings, rows: int) -> Iterator[Line]:
    """One line a topic and size of message."""
    with connect(settings) as client:
        for topic in COLUMNS:
            straight = direct(client, topic, lines(topic, 0, rows))
            for number, (name, size) in enumerate((("packed", PACK), ("single", 1)), 1):
                own = lines(topic, number * rows, rows)
                simple, all_views = bare(client, settings, topic, own, size), whole(client, settings, topic, own, size)
                yield Line(topic, name, rows, round(straight), round(simple), round(all_views))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        brokers = ""
        if lacking := server.missing():
            print(f"through the embedded broker: no {lacking}", file=sys.stderr)
        else:
            kafka = server.ApacheKafka(Path(folder) / "kafka")
            cleanup.callback(kafka.stop)
            kafka.start()
            brokers = kafka.brokers
        node = start_process(Path(folder) / "node", brokers=brokers)
        cleanup.callback(broker.stop, Path(folder) / "node")
        cleanup.callback(node.stop)
        settings = node.settings()
        topics.apply(settings, topics.read(settings, load_all(PROJECT_DIR / "contracts")))
        migrate(settings)
        results = []
        for line in measure(settings, options.rows):
            shares = {f"{way}_of_direct": round(getattr(line, way) / line.direct, 3) for way in ("bare", "whole")}
            results.append(line._asdict() | shares)
            if not options.json:
                print(results[-1], flush=True)
    chains = {topic: views(topic) for topic in COLUMNS}
    if options.json:
        print(json.dumps({"rates": results, "views": chains}))
        return
    for topic, names in chains.items():
        print(f"whole chain of {topic}, {len(names)} views: {', '.join(names)}")


if __name__ == "__main__":
    main()
