"""Fixtures of all tests. Everything here is real: a node of its own, a broker of its own, free ports."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.node import broker
from chctl.node.run import NodeProcess, start_process
from chctl.settings import PROJECT_DIR, Settings
from tests.kafka import server as kafka_server
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for
from tests.watched import fill
from tests.whole import Start, image, lay

# --- node and broker --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One node and broker for the whole run: share it through `client` (own database) and `topic` (own topics)."""
    data_dir = tmp_path_factory.mktemp("node")
    process = start_process(data_dir)
    try:
        yield process
    finally:
        process.stop()
        broker.stop(data_dir)


@pytest.fixture
def fresh_node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start a node on a data folder of the test's own: `start(*arguments, brokers="", ...)`.

    A second call after `stop()` or `kill()` starts it again on the same folder. Nodes and broker end with the test.
    """
    data_dir = tmp_path / "data"
    started: list[NodeProcess] = []

    def start(*arguments: str, **options: object) -> NodeProcess:
        started.append(start_process(data_dir, *arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
        broker.stop(data_dir)


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a node with all migrations and views applied, to start others from (tests/whole.py)."""
    return image(tmp_path_factory)


@pytest.fixture
def whole_node(fresh_node: Start, schema: Path, tmp_path: Path) -> Start:
    """As `fresh_node`, but the node starts with every topic, table and view."""

    def start(*arguments: str, **options: object) -> NodeProcess:
        if not (tmp_path / "data").exists():
            brokers = str(options.get("brokers", ""))
            lay(
                tmp_path / "data", schema, Settings().model_copy(update={"kafka_brokers": brokers}) if brokers else None
            )
        return fresh_node(*arguments, **options)

    return start


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Iterator[Settings]:
    """One node with every topic, table and view for a test file."""
    folder = tmp_path_factory.mktemp("whole")
    lay(folder, schema)
    process = start_process(folder)
    try:
        yield process.settings()
    finally:
        process.kill()
        broker.stop(folder)


@pytest.fixture
def settings(node: NodeProcess, database: str) -> Settings:
    """Settings that name the shared node, its broker and the test's own database."""
    return node.settings(clickhouse_database=database)


@pytest.fixture
def database(node: NodeProcess) -> Iterator[str]:
    """An empty database of the test's own on the shared node."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = connect(node.settings(), database="")
    admin.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    yield name
    admin.command(f"DROP DATABASE {name}")
    admin.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A clickhouse-connect client on the test's own database."""
    with connect(settings) as opened:
        yield opened


@pytest.fixture
def topic(node: NodeProcess) -> Callable[..., str]:
    """Create topics of the test's own on the shared broker: `topic("trades", partitions=2)` gives the name it got."""

    def create(name: str = "topic", partitions: int = 1) -> str:
        unique = f"{name}_{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": node.brokers})
        admin.create_topics([NewTopic(unique, num_partitions=partitions, replication_factor=1)])[unique].result(10)
        return unique

    return create


@pytest.fixture(scope="module")
def system(whole: Settings) -> Settings:
    """As `whole`, whose Kafka tables have begun to read."""
    polling = "SELECT count() FROM dash_consumers WHERE (silent_s IS NULL) OR (partitions = 0)"
    with connect(whole) as opened:
        wait_for(lambda: opened.command(polling) == 0)
    return whole


@pytest.fixture(scope="module")
def watched_node(whole: Settings) -> Settings:
    """A node that has watched a simulated venue, for dashboards and the page; tests read it and change nothing."""
    fill(whole)
    return whole


# --- Apache Kafka -----------------------------------------------------------------------------------------------------


def required_kafka() -> None:
    """Skip, or in CI fail, where Apache Kafka cannot run."""
    if lacking := kafka_server.missing():
        reason = f"Apache Kafka needs {lacking}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: required in CI")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def apache_kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka for the whole run, started by the first test that asks for it."""
    required_kafka()
    server = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def apache_kafka(apache_kafka_server: ApacheKafka) -> ApacheKafka:
    """The shared Apache Kafka, running: a test may stop(), kill(), pause() and start() it, the next finds it up."""
    apache_kafka_server.resume()
    if not apache_kafka_server.running:
        apache_kafka_server.start()
    return apache_kafka_server


# --- recorded data ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of recorded market data, which is not part of the repository."""
    folder = Path(os.environ.get("CHCTL_CAPTURES") or PROJECT_DIR.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}: set CHCTL_CAPTURES")
    return folder
