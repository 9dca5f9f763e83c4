"""`chctl node`: its life, its folder, its broker, and what a crash leaves of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer

from chctl.node.run import NodeProcess

KAFKA_SETTINGS = "kafka_flush_interval_ms = 100, kafka_poll_timeout_ms = 50, kafka_consumer_reschedule_ms = 10"


def create_ingest(client: Client, topic: str) -> None:
    """A topic of plain numbers into a table that replaces by number."""
    client.command(f"""
        CREATE TABLE kafka_numbers (raw String) ENGINE = Kafka(chctl_kafka)
        SETTINGS kafka_topic_list = '{topic}', kafka_group_name = 'chctl.clickhouse.{topic}',
            kafka_format = 'LineAsString', {KAFKA_SETTINGS}
    """)
    client.command("CREATE TABLE numbers (n UInt64) ENGINE = ReplacingMergeTree ORDER BY n")
    client.command("CREATE MATERIALIZED VIEW numbers_mv TO numbers AS SELECT toUInt64(raw) AS n FROM kafka_numbers")


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold in time"
        time.sleep(0.05)


def test_a_client_inserts_and_reads_back(client: Client) -> None:
    client.command("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    assert client.insert("t", [[1, "x"], [2, "y"]], column_names=["a", "s"]).written_rows == 2
    assert client.query("SELECT * FROM t ORDER BY a").result_rows == [(1, "x"), (2, "y")]


def test_messages_of_a_topic_become_rows(node: NodeProcess, client: Client, topic: Callable[..., str]) -> None:
    name = topic("numbers")
    create_ingest(client, name)
    producer = Producer({"bootstrap.servers": node.brokers})
    producer.produce(name, "\n".join(map(str, range(1000))))
    assert producer.flush(10) == 0
    wait_for(lambda: client.command("SELECT count() FROM numbers FINAL") == 1000)
