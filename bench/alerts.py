"""Latency and throughput of the alert feeder on a real node, broker and webhook receiver.

1. Outbox to webhook, one alert at a time: by the topic (the fast path) and by the sweep alone (broker away).
2. 5,000 alerts raised at once: time until the last is accepted, each as a signed message of its own, and as a storm.

    python bench/alerts.py [--alerts 200] [--burst 5000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.node import broker
from chctl.node.run import start_process
from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import statements
from tests.e2e.alert_kit import create_tables, raise_alerts, start_feeder, wait_for
from tests.receiver import Receiver


def latencies(client: Client, receiver: Receiver, count: int, name: str) -> list[float]:
    """Milliseconds from just before the insert into `alerts` to the request at the receiver, one alert at a time."""
    taken = []
    for number in range(count):
        seen = len(receiver.got)
        started = time.monotonic()
        raise_alerts(client, [{"alert_id": f"{name}{number}", "entity": f"{name}{number}"}])
        wait_for(lambda seen=seen: len(receiver.got) > seen, 30, every=0.001)
        taken.append((receiver.got[-1].time - started) * 1000)
    return taken


def shown(name: str, taken: list[float]) -> None:
    cuts = statistics.quantiles(taken, n=100)
    print(f"{name:34} p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms   ({len(taken)} alerts)")


def burst(client: Client, receiver: Receiver, count: int) -> float:
    """Seconds until every alert of a burst was accepted."""
    name = f"burst{time.monotonic_ns()}_"
    before, started = len(receiver.accepted), time.monotonic()
    raise_alerts(client, [{"alert_id": f"{name}{n}", "entity": f"user:{n}"} for n in range(count)])
    wait_for(lambda: len(receiver.accepted) - before == count, 300, every=0.05)
    assert sum(alert_id.startswith(name) for alert_id, _ in receiver.delivered()) == count
    return time.monotonic() - started


def with_topic(client: Client, s: Settings) -> None:
    """The node writes new rows of `alerts` to the topic, by the project's own table and view."""
    admin = AdminClient({"bootstrap.servers": s.kafka_brokers})
    admin.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(10)
    client.query("SELECT name FROM system.named_collections")
    for pattern in ("migrations/*_create_to_kafka_alerts.sql", "views/alerts/to_kafka_alerts_mv.sql"):
        for path in PROJECT_DIR.glob(pattern):
            for statement in statements(path.read_text()):
                client.command(statement.sql)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--alerts", type=int, default=200)
    arguments.add_argument("--burst", type=int, default=5000)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        node, receiver = start_process(data_dir), Receiver().start()
        try:
            s = node.settings()
            admin = connect(s, database="")
            admin.command("CREATE DATABASE IF NOT EXISTS chctl ENGINE = Atomic")
            client = connect(s)
            create_tables(client)

            away = s.model_copy(update={"kafka_brokers": "127.0.0.1:1"})
            feeder = start_feeder(away, "--webhook", receiver.url(), CHCTL_ALERTS_SWEEP_S="0.2")
            latencies(client, receiver, 3, "warm")
            shown("sweep alone, every 0.2 s", latencies(client, receiver, asked.alerts // 4, "s"))
            seconds = burst(client, receiver, asked.burst)
            print(
                f"{asked.burst} alerts at once, one message each: {seconds:.1f} s, {asked.burst / seconds:.0f} a second"
            )
            feeder.stop()

            with_topic(client, s)
            feeder = start_feeder(s, "--webhook", receiver.url(), CHCTL_ALERTS_SWEEP_S="1")
            latencies(client, receiver, 3, "warmer")
            shown("by the topic, sweep every 1 s", latencies(client, receiver, asked.alerts, "t"))
            feeder.stop()
        finally:
            receiver.stop()
            node.stop()
            broker.stop(data_dir)


if __name__ == "__main__":
    main()
