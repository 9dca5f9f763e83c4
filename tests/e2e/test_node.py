"""`chctl node`: its life, its folder, its broker, and what crashes leave of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.node import broker
from chctl.node.run import NodeError, NodeProcess, start_process
from chctl.settings import PROJECT_DIR
from tests.waiting import wait_for

KAFKA_SETTINGS = "kafka_flush_interval_ms = 100, kafka_poll_timeout_ms = 50, kafka_consumer_reschedule_ms = 10"
StartNode = Callable[..., NodeProcess]


def create_ingest(client: Client, topic: str) -> None:
    """A topic of plain numbers into a table that replaces by number."""
    client.command(f"""
        CREATE TABLE kafka_numbers (raw String) ENGINE = Kafka(chctl_kafka)
        SETTINGS kafka_topic_list = '{topic}', kafka_group_name = 'chctl.clickhouse.{topic}',
            kafka_format = 'LineAsString', {KAFKA_SETTINGS}
    """)
    client.command("CREATE TABLE numbers (n UInt64) ENGINE = ReplacingMergeTree ORDER BY n")
    client.command("CREATE MATERIALIZED VIEW numbers_mv TO numbers AS SELECT toUInt64(raw) AS n FROM kafka_numbers")


def count(client: Client) -> int:
    """Distinct numbers stored."""
    return int(client.command("SELECT count() FROM numbers FINAL"))  # type: ignore[arg-type]


def swallow(call: Callable[..., object], *arguments: object) -> None:
    """Call what the end of the node will break off."""
    with contextlib.suppress(Error):
        call(*arguments)


class Stream:
    """Numbers produced from 0 on, 500 a message, until told to stop; every one acknowledged by the broker."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.produced = 0
        self._producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "message.timeout.ms": 0})
        self._topic, self._stopping = topic, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            numbers = range(self.produced, self.produced + 500)
            self._producer.produce(self._topic, "\n".join(map(str, numbers)))
            self.produced += 500
            self._producer.poll(0.01)

    def stop(self) -> int:
        """How many numbers the broker has."""
        self._stopping.set()
        self._thread.join()
        assert self._producer.flush(30) == 0
        return self.produced


@pytest.fixture
def ingesting(fresh_node: StartNode) -> Iterator[tuple[NodeProcess, Client, Stream]]:
    """A node of its own with a stream running into `numbers` of database `chctl`."""
    node = fresh_node()
    admin = AdminClient({"bootstrap.servers": node.brokers})
    admin.create_topics([NewTopic("numbers", 1, 1)])["numbers"].result(10)
    connect(node.settings(), database="").command("CREATE DATABASE chctl ENGINE = Atomic")
    client = connect(node.settings())
    create_ingest(client, "numbers")
    stream = Stream(node.brokers, "numbers")
    try:
        wait_for(lambda: count(client) > 0)
        yield node, client, stream
    finally:
        stream.stop()


def test_a_node_killed_under_load_loses_and_doubles_nothing(
    fresh_node: StartNode, ingesting: tuple[NodeProcess, Client, Stream]
) -> None:
    node, _, stream = ingesting
    kept_by = broker.find(node.data_dir)
    node.kill()
    before = stream.produced
    wait_for(lambda: stream.produced > before + 5000)  # the broker goes on taking messages

    again = fresh_node()

    assert broker.find(node.data_dir) == kept_by, "the broker of the killed node is adopted"
    produced = stream.stop()
    client = connect(again.settings())
    wait_for(lambda: count(client) == produced)
    assert client.command("SELECT sum(n) FROM numbers FINAL") == produced * (produced - 1) // 2


def test_sigterm_under_load_ends_in_five_seconds_and_keeps_what_is_unread(
    fresh_node: StartNode, ingesting: tuple[NodeProcess, Client, Stream]
) -> None:
    node, client, stream = ingesting
    slow = threading.Thread(target=swallow, args=(client.command, "SELECT sleepEachRow(1) FROM numbers(60)"))
    slow.start()

    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 5

    slow.join()
    produced = stream.stop()
    assert "broker left running" in node.log()
    again = fresh_node()
    client = connect(again.settings())
    wait_for(lambda: count(client) == produced)


def test_a_drained_node_takes_its_broker_along(fresh_node: StartNode) -> None:
    node = fresh_node()
    kept_by = broker.find(node.data_dir)
    assert kept_by is not None
    assert node.stop() == 0
    assert broker.find(node.data_dir) is None
    assert not broker.answers(kept_by.address)


def test_messages_nobody_has_read_keep_the_broker_and_discard_drops_them(fresh_node: StartNode) -> None:
    node = fresh_node()
    producer = Producer({"bootstrap.servers": node.brokers})
    producer.produce("unread", b"1")
    assert producer.flush(10) == 0
    del producer
    assert node.stop() == 0
    assert '"unread": {"unread": 1}' in node.log() or "'unread': 1" in node.log()
    assert broker.find(node.data_dir) is not None
    command = [sys.executable, "-m", "cli", "node", "--discard-broker", "--data-dir", str(node.data_dir)]
    subprocess.run(command, cwd=PROJECT_DIR, check=True, timeout=20)
    assert broker.find(node.data_dir) is None


def test_a_broker_that_hangs_and_comes_back_delays_but_loses_nothing(
    ingesting: tuple[NodeProcess, Client, Stream],
) -> None:
    node, client, stream = ingesting
    living = broker.find(node.data_dir)
    assert living is not None
    os.kill(living.pid, signal.SIGSTOP)
    try:
        before = stream.produced
        wait_for(lambda: stream.produced > before + 20_000)  # piles up in the producer
        assert count(client) <= before
    finally:
        os.kill(living.pid, signal.SIGCONT)
    produced = stream.stop()
    wait_for(lambda: count(client) == produced)


def test_a_broker_that_dies_is_told_and_the_next_start_brings_another(fresh_node: StartNode) -> None:
    node = fresh_node()
    living = broker.find(node.data_dir)
    assert living is not None
    os.kill(living.pid, signal.SIGKILL)
    wait_for(lambda: "the broker has ended" in node.log(), 10)
    assert httpx.get(f"{node.url}/?query=SELECT+1").text == "1\n"
    node.stop()
    again = fresh_node()
    assert again.brokers == node.brokers, "feeders find the new one where they knew the old one"
    assert broker.answers(again.brokers)


def test_a_second_node_on_the_folder_says_who_holds_it(fresh_node: StartNode) -> None:
    node = fresh_node()
    with pytest.raises(NodeError) as refused:
        start_process(node.data_dir)
    assert f"held by process {node.pid} since 20" in str(refused.value)
    assert node.url in str(refused.value)
    assert httpx.get(f"{node.url}/ping").text == "Ok.\n", "the first one goes on"


def test_an_external_broker_is_used_and_left_alone(
    node: NodeProcess, fresh_node: StartNode, topic: Callable[..., str]
) -> None:
    name = topic("numbers")
    other = fresh_node(brokers=node.brokers)
    assert broker.find(other.data_dir) is None
    connect(other.settings(), database="").command("CREATE DATABASE chctl ENGINE = Atomic")
    client = connect(other.settings())
    create_ingest(client, name)
    producer = Producer({"bootstrap.servers": node.brokers})
    producer.produce(name, "\n".join(map(str, range(1000))))
    assert producer.flush(10) == 0
    wait_for(lambda: count(client) == 1000)
    assert other.stop() == 0
    assert broker.answers(node.brokers)


def test_a_foreign_process_with_the_noted_pid_is_not_taken_for_the_broker(tmp_path: Path) -> None:
    note = {"pid": os.getpid(), "port": 9, "cluster_id": "chctl-of-a-broker-long-gone"}
    broker.state_file(tmp_path).write_text(json.dumps(note))
    assert broker.find(tmp_path) is None
    assert broker.stop(tmp_path) is False


def test_a_taken_port_is_named_with_the_way_out(fresh_node: StartNode) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NodeError, match=f"cannot listen on 127.0.0.1:{port}.*--port"):
            fresh_node(port=port)
        with pytest.raises(NodeError, match=f"port {port} is taken.*--broker-port"):
            fresh_node(broker_port=port)


def test_the_configuration_is_for_its_owner_alone(node: NodeProcess) -> None:
    assert (node.data_dir / "config.xml").stat().st_mode & 0o777 == 0o600
    assert node.data_dir.stat().st_mode & 0o077 == 0


def test_dictionaries_follow_their_source(client: Client, database: str) -> None:
    client.command(
        "CREATE TABLE rules (rule String, value Float64, updated UInt64)"
        " ENGINE = ReplacingMergeTree(updated) ORDER BY rule"
    )
    client.command("INSERT INTO rules VALUES ('a', 1, 1)")
    client.command(f"""
        CREATE DICTIONARY rules_dict (rule String, value Float64) PRIMARY KEY rule
        SOURCE(CLICKHOUSE(QUERY 'SELECT rule, value FROM {database}.rules FINAL'))
        LIFETIME(MIN 1 MAX 2) LAYOUT(COMPLEX_KEY_HASHED())
    """)
    assert client.query("SELECT dictGet('rules_dict', 'value', 'a')").first_row == (1.0,)
    client.command("INSERT INTO rules VALUES ('a', 2, 2)")
    wait_for(lambda: client.query("SELECT dictGet('rules_dict', 'value', 'a')").first_row == (2.0,), 10)


def test_a_dictionary_is_left_alone_until_its_least_lifetime_has_passed(client: Client, database: str) -> None:
    client.command("CREATE TABLE source (k UInt64, v UInt64) ENGINE = MergeTree ORDER BY k")
    client.command("INSERT INTO source VALUES (1, 10)")
    for name, lifetime in (("quick", "MIN 1 MAX 2"), ("slow", "MIN 60 MAX 90")):
        client.command(f"""
            CREATE DICTIONARY {name} (k UInt64, v UInt64) PRIMARY KEY k
            SOURCE(CLICKHOUSE(TABLE 'source' DB '{database}')) LAYOUT(FLAT()) LIFETIME({lifetime})
        """)
    values = "SELECT dictGet('quick', 'v', 1), dictGet('slow', 'v', 1)"
    assert client.query(values).result_rows == [(10, 10)]
    for value in (20, 30):  # twice: the second round begins after the first has looked at both
        client.command("TRUNCATE TABLE source")
        client.command(f"INSERT INTO source VALUES (1, {value})")
        wait_for(lambda value=value: client.query(values).first_row[0] == value, 10, "the quick dictionary")
    assert client.query(values).first_row == (30, 10)


def test_beyond_loopback_a_password_is_required(fresh_node: StartNode) -> None:
    with pytest.raises(NodeError, match="CHCTL_NODE_PASSWORD"):
        fresh_node("--host", "0.0.0.0")
