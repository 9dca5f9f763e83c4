"""Latency and throughput of the alert feeder on a real node, broker and webhook receiver.

1. Outbox to webhook, one alert at a time: by the topic (the fast path) and by the sweep alone (broker away);
   by the topic once more when the alerts of the bursts are open.
2. 5,000 alerts raised at once: time until the last is accepted, each as a signed message of its own; and as a storm of
   one rule and symbol, which is a few messages and one with the count.

    python bench/alerts.py [--alerts 200] [--burst 5000]

Everything runs on one machine: the node with its broker, the feeder, the receiver. Clocks are that machine's.
"""

from __future__ import annotations

import argparse
import json
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
from tests.e2e.alert_kit import create_tables, deliveries, raise_alerts, start_feeder
from tests.receiver import Got, Receiver
from tests.waiting import wait_for


def latencies(client: Client, receiver: Receiver, count: int, name: str) -> list[float]:
    """Milliseconds from just before the insert into `alerts` to the request at the receiver, one alert at a time."""
    taken = []
    for number in range(count):
        seen = len(receiver.got)
        started = time.monotonic()
        raise_alerts(client, [{"alert_id": f"{name}{number}", "entity": f"{name}{number}"}])
        wait_for(lambda seen=seen: len(receiver.got) > seen, 30)
        taken.append((receiver.got[-1].time - started) * 1000)
    return taken


def shown(name: str, taken: list[float]) -> None:
    cuts = statistics.quantiles(taken, n=100)
    print(f"{name:34} p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms   ({len(taken)} alerts)")


def burst(client: Client, receiver: Receiver, count: int) -> tuple[float, int]:
    """Seconds until every alert of a burst was accepted, and the messages that took."""
    name = f"burst{time.monotonic_ns()}_"
    before, started = len(receiver.accepted), time.monotonic()
    raise_alerts(client, [{"alert_id": f"{name}{n}", "entity": f"user:{n}"} for n in range(count)])
    messages: list[Got] = []
    told: list[str] = []

    def all_told() -> bool:
        # Only what is new is looked at: the receiver shares this process.
        new = list(receiver.accepted.values())[before + len(messages) :]
        messages.extend(new)
        told.extend(alert_id for got in new for alert_id, _ in got.alerts)
        return len(told) >= count

    wait_for(all_told, 200)
    assert len(told) == len(set(told)) == count
    assert all(alert_id.startswith(name) for alert_id in told)
    return messages[-1].time - started, len(messages)


def hops(client: Client, name: str) -> None:
    """Where the time went, by the record: until the feeder planned the page, and until it was accepted."""
    row = client.query(
        """
        SELECT quantilesExact(0.5, 0.99)(planned), quantilesExact(0.5, 0.99)(accepted)
        FROM
        (
            SELECT
                dateDiff('millisecond', any(raised_time), minIf(attempted_time, outcome = 'queued')) AS planned,
                dateDiff('millisecond', any(raised_time), minIf(attempted_time, outcome = 'delivered')) AS accepted
            FROM alert_deliveries
            INNER JOIN alerts ON alerts.alert_id = alert_deliveries.alert_id
            WHERE match(alert_id, {name:String})
            GROUP BY alert_id
        )
        """,
        parameters={"name": f"^{name}[0-9]+$"},
    ).first_row
    (planned, late), (accepted, last) = row
    print(f"  from raised_time until planned    p50 {planned:5} ms   p99 {late:5} ms")
    print(f"  from raised_time until accepted   p50 {accepted:5} ms   p99 {last:5} ms")


def storm_routes(folder: Path, receiver: Receiver) -> Path:
    """A routing file that groups as a tree does by default, in a window of 2 s in place of 30 s."""
    file = folder / "routes.yaml"
    group = {"by": ["rule", "symbol"], "limit": 5, "window": "2s"}
    channel = {"type": "webhook", "url": receiver.url()}
    file.write_text(json.dumps({"channels": {"webhook": channel}, "route": {"channels": ["webhook"], "group": group}}))
    return file


def with_topic(client: Client, s: Settings) -> None:
    """The node writes new rows of `alerts` to the topic, by the project's own table and view."""
    admin = AdminClient({"bootstrap.servers": s.kafka_brokers})
    admin.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(10)
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

            with_topic(client, s)
            usual = {"CHCTL_ALERTS_SWEEP_S": "1", "CHCTL_ALERTS_REVIEW_S": "2"}  # as shipped
            feeder = start_feeder(s, "--webhook", receiver.url(), **usual)
            latencies(client, receiver, 5, "warm")
            shown("by the topic", latencies(client, receiver, asked.alerts, "t"))
            wait_for(lambda: len(deliveries(client, "delivered")) >= len(receiver.got), 30)
            hops(client, "t")
            feeder.stop()

            away = s.model_copy(update={"kafka_brokers": "127.0.0.1:1"})
            feeder = start_feeder(away, "--webhook", receiver.url(), **usual | {"CHCTL_ALERTS_SWEEP_S": "0.2"})
            latencies(client, receiver, 3, "warmer")
            shown("by the sweep alone, every 0.2 s", latencies(client, receiver, asked.alerts // 4, "s"))
            taken, messages = burst(client, receiver, asked.burst)
            print(f"{asked.burst} at once, each on its own{'':11} {taken:.1f} s, {asked.burst / taken:.0f} a second")
            assert messages == asked.burst
            feeder.stop()

            routes = storm_routes(data_dir, receiver)
            feeder = start_feeder(away, "--routes", str(routes), **usual | {"CHCTL_ALERTS_SWEEP_S": "0.2"})
            wait_for(lambda: feeder.said("this feeder delivers"))
            taken, messages = burst(client, receiver, asked.burst)
            print(f"{asked.burst} at once as a storm, window 2 s{'':5} {taken:.1f} s, {messages} messages")
            feeder.stop()

            feeder = start_feeder(s, "--webhook", receiver.url(), **usual)
            latencies(client, receiver, 5, "warmest")
            shown(f"by the topic, {2 * asked.burst} alerts open", latencies(client, receiver, asked.alerts // 2, "o"))
            feeder.stop()
        finally:
            receiver.stop()
            node.stop()
            broker.stop(data_dir)


if __name__ == "__main__":
    main()
