"""A ClickHouse server and Kafka in containers, where a container engine is available; else a reason to skip."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.settings import Settings
from tests.e2e.migrate.conftest import make_project, project

__all__ = ["make_project", "project"]

COMPOSE = Path(__file__).with_name("docker-compose.yml")
#: What the fixtures ask of the compose file: service -> port inside its container.
PORTS = {"clickhouse": 8123, "kafka": 29092}


def missing() -> str:
    """Why containers cannot be started here, or ''."""
    try:
        for command in (["docker", "info"], ["docker", "compose", "version"]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
            if done.returncode != 0:
                return f"no container engine: {done.stderr.strip().splitlines()[-1]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no container engine: {error}"
    return ""


@pytest.fixture(scope="session")
def docker_compose_file() -> Path:
    """The compose file of this suite; skips where it cannot be used."""
    if reason := missing():
        pytest.skip(reason)
    return COMPOSE


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Settings:
    """Settings of the ClickHouse server and the broker in their containers, once both answer."""
    request.getfixturevalue("docker_compose_file")  # skips before an engine is asked for
    services: Any = request.getfixturevalue("docker_services")
    ports = {service: services.port_for(service, port) for service, port in PORTS.items()}
    settings = Settings(
        clickhouse_url=f"http://127.0.0.1:{ports['clickhouse']}", kafka_brokers=f"127.0.0.1:{ports['kafka']}"
    )

    def answer() -> bool:
        try:
            connect(settings, database="").close()
            AdminClient({"bootstrap.servers": settings.kafka_brokers}).list_topics(timeout=2)
        except (ClickHouseError, KafkaException):
            return False
        return True

    services.wait_until_responsive(check=answer, timeout=120, pause=0.5)
    return settings


@pytest.fixture
def open_client(server: Settings) -> Callable[[], Client]:
    """Opens HTTP clients on the server."""
    return lambda: connect(server, database="")


@pytest.fixture
def settings(server: Settings) -> Iterator[Settings]:
    """Settings that name the server, the broker and an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(server, database="") as admin:
        admin.command(f"CREATE DATABASE {name} ENGINE = Atomic")
        yield server.model_copy(update={"clickhouse_database": name})
        admin.command(f"DROP DATABASE {name}")


@pytest.fixture
def topic(server: Settings) -> Callable[..., str]:
    """Create topics of the test's own: `topic("trades", partitions=2)` gives the name it got."""

    def create(name: str = "topic", partitions: int = 1) -> str:
        unique = f"{name}_{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": server.kafka_brokers})
        admin.create_topics([NewTopic(unique, num_partitions=partitions, replication_factor=1)])[unique].result(10)
        return unique

    return create
