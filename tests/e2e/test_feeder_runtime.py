"""What every feeder stands on, against a real broker: publishing, back-pressure, safe reading, an orderly end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chctl.node import broker
from chctl.settings import PROJECT_DIR, Settings
from feeders.runtime import Publisher, PublishError, Reader, Supervisor
from tests.ports import free_port


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[broker.Broker]:
    """A broker of the module's own, since a test stops it for a while."""
    folder = tmp_path_factory.mktemp("broker")
    try:
        yield broker.ensure(folder, 0)
    finally:
        broker.stop(folder)


@pytest.fixture
def topic(kafka: broker.Broker, request: pytest.FixtureRequest) -> str:
    name = request.node.name.translate({ord(c): "_" for c in "[]-/"})[:100]
    create(kafka, name)
    return name


def create(kafka: broker.Broker, *names: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for future in admin.create_topics(
        [NewTopic(n, num_partitions=partitions, replication_factor=1) for n in names]
    ).values():
        future.result(10)


def contents(kafka: broker.Broker, topic: str, rows: int, deadline: float = 20.0) -> list[tuple[bytes, list[bytes]]]:
    """Messages of the topic as (key, rows), read until `rows` were seen and nothing follows."""
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": "contents", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[tuple[bytes, list[bytes]]] = []
    end = time.monotonic() + deadline
    quiet = 0
    while quiet < 2 and time.monotonic() < end:
        message = consumer.poll(0.3)
        if message is None:
            quiet += sum(len(values) for _, values in messages) >= rows
        elif message.error() is None:
            messages.append((message.key(), message.value().split(b"\n")))
    consumer.close()
    return messages


def test_rows_of_one_flush_and_key_leave_as_one_message(kafka, topic):
    publisher = Publisher(Settings(kafka_brokers=kafka.address))
    for i in range(100):
        publisher.add(topic, f"k{i % 2}", b"row %d" % i)
    assert publisher.acknowledged[topic] == 0
    assert publisher.drain(10)
    assert publisher.acknowledged[topic] == 100
    assert publisher.close() == 0
    messages = dict(contents(kafka, topic, 100))
    assert messages == {
        b"k0": [b"row %d" % i for i in range(0, 100, 2)],
        b"k1": [b"row %d" % i for i in range(1, 100, 2)],
    }


def test_a_pack_never_outgrows_what_a_broker_takes(kafka, topic):
    publisher = Publisher(Settings(kafka_brokers=kafka.address))
    for _ in range(40):
        publisher.add(topic, "k", b"x" * 50_000)
    assert publisher.close(20) == 0
    messages = contents(kafka, topic, 40)
    assert sum(len(rows) for _, rows in messages) == 40
    assert len(messages) > 1


def test_a_broker_that_is_away_stops_the_reading_and_loses_nothing(kafka, topic):
    publisher = Publisher(Settings(kafka_brokers=kafka.address), buffer_bytes=200_000)
    publisher.add(topic, "k", b"first")
    assert publisher.drain(10)
    fed = 1

    async def feeding() -> None:
        nonlocal fed
        while fed < 5_000:
            publisher.add(topic, "k", b"%d " % fed + b"x" * 100)
            fed += 1
            if fed % 50 == 0:
                publisher.flush()
            await publisher.room()

    async def outage() -> int:
        task = asyncio.create_task(feeding())
        while not publisher.full():  # reading stands still
            await asyncio.sleep(0.01)
        still = fed
        await asyncio.sleep(0.5)
        assert fed == still
        assert REGISTRY.get_sample_value("chctl_feeder_blocked") == 1
        assert publisher.buffered < 220_000
        os.kill(kafka.pid, signal.SIGCONT)
        await asyncio.wait_for(task, 30)
        return still

    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        with capture_logs() as logged:
            assert 1 < asyncio.run(outage()) < 5_000
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    assert publisher.close(30) == 0
    assert REGISTRY.get_sample_value("chctl_feeder_blocked") == 0
    said = [(line["log_level"], line["event"]) for line in logged if line["event"].startswith("the broker takes")]
    assert ("error", "the broker takes no rows: reading stops until it does") in said
    assert said[-1] == ("warning", "the broker takes rows again: reading goes on")
    rows = [row for _, rows in contents(kafka, topic, 5_000) for row in rows]
    assert [int(row.split()[0]) for row in rows[1:]] == list(range(1, 5_000))  # each once, in order


def test_rows_that_can_never_be_delivered_stop_the_feeder(kafka, topic):
    publisher = Publisher(Settings(kafka_brokers=kafka.address))
    publisher.add(topic, "k", b"x" * 2_900_000)  # a message may have a million bytes
    with pytest.raises(PublishError, match="large"):
        publisher.drain(20)
    with pytest.raises(PublishError):
        publisher.add(topic, "k", b"next")
    assert publisher.close(1) == 1


def test_rows_that_are_not_delivered_are_counted():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        publisher = Publisher(Settings(kafka_brokers=f"127.0.0.1:{taken.getsockname()[1]}"))
        publisher.add("t", "k", b"row")
        assert publisher.close(0.5) == 1


def test_what_was_read_and_not_committed_is_read_again(kafka, topic):
    settings = Settings(kafka_brokers=kafka.address)
    publisher = Publisher(settings)
    for i in range(10):
        publisher.add(topic, str(i), b"%d" % i)
    assert publisher.close() == 0

    def read(commit: bool) -> list[bytes]:
        reader = Reader(settings, "chctl.test", [topic])
        values: list[bytes] = []
        end = time.monotonic() + 20
        while len(values) < 10 and time.monotonic() < end:
            values += [m.value() for m in reader.read()]
        if commit:
            reader.commit()
        reader.close()
        return values

    assert len(read(commit=False)) == 10
    assert len(read(commit=True)) == 10
    reader = Reader(settings, "chctl.test", [topic])
    deadline = time.monotonic() + 20
    while not reader.assigned and time.monotonic() < deadline:
        assert reader.read() == []
    assert [m.value() for m in reader.read(timeout=1.0)] == []
    reader.close()


def test_the_watchdog_is_fed_for_progress_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feeder that turns without getting anything done is one that hangs: systemd hears nothing and restarts it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(0.5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        supervisor = Supervisor()
        supervisor.ready()
        assert channel.recv(100) == b"READY=1"
        with pytest.raises(TimeoutError):  # five periods
            channel.recv(100)
        supervisor.progress()
        supervisor.progress()
        assert channel.recv(100) == b"WATCHDOG=1"
        with pytest.raises(TimeoutError):  # once in half a period is enough
            channel.recv(100)


def test_sigterm_flushes_the_open_window_and_says_so(kafka, captures, tmp_path: Path):
    """The whole feeder as a process: ready, watchdog, metrics, SIGTERM, exit code, and no row missing on the topics."""
    create(kafka, "market_l2", "market_trades")
    notify = tmp_path / "notify"
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(notify))
        channel.settimeout(30)
        environment = os.environ | {
            "CHCTL_KAFKA_BROKERS": kafka.address,
            "CHCTL_METRICS_PORT": str(port),
            "CHCTL_LOG_FORMAT": "json",
            "CHCTL_MARKET_VENUE": "kraken",  # an option goes before a setting
            "CHCTL_MARKET_SYMBOLS": "BTCUSDT",  # a setting says what no option does
            "NOTIFY_SOCKET": str(notify),
            "WATCHDOG_USEC": "400000",
        }
        file = captures / "binance" / "spot_btcusdt_20240808.jsonl.gz"
        command = [
            sys.executable,
            "cli.py",
            "feed",
            "market",
            "--venue",
            "binance",
            "--replay",
            str(file),
            "--speed",
            "20",
        ]
        process = subprocess.Popen(command, cwd=PROJECT_DIR, env=environment, stderr=subprocess.PIPE)
        try:
            said: Counter[str] = Counter()
            while said["WATCHDOG=1"] < 4:
                said.update(channel.recv(1000).decode().split("\n"))
            assert said["READY=1"] == 1
            wanted = [
                *(
                    f'chctl_market_events_total{{venue="binance",what="{what}"}}'
                    for what in ("diffs", "windows", "trades", "gaps", "resyncs")
                ),
                'chctl_market_lag_seconds{venue="binance"} -1.',  # the recorder's clock was behind
                'chctl_feeder_publish_errors_total{topic="market_l2"} 0.0',
                'chctl_feeder_rows_total{topic="market_l2"}',
            ]
            deadline = time.monotonic() + 20
            metrics = ""
            while not all(name in metrics for name in wanted) and time.monotonic() < deadline:
                metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            assert [name for name in wanted if name not in metrics] == []
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
            channel.settimeout(1)
            while "STOPPING=1" not in said:
                said.update(channel.recv(1000).decode().split("\n"))
        finally:
            process.kill()
    assert process.returncode == 0, log
    end = json.loads(log.splitlines()[-1])
    assert end["event"] == "feed ended"
    assert end["lost"] == 0
    for topic in ("market_l2", "market_trades"):
        rows = [json.loads(row) for _, rows in contents(kafka, topic, end["produced"][topic]) for row in rows]
        assert len(rows) == end["produced"][topic]
        if topic == "market_l2":
            # The last window was open when the signal came: its updates are on the topic as well.
            assert sum(row["diffs"] for row in rows) == end["counts"]["diffs"]
