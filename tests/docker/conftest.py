"""A ClickHouse server from docker-compose.yml, where a container engine is available; else a reason to skip."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from chctl.clickhouse import connect
from chctl.settings import PROJECT_DIR, Settings
from tests.e2e.migrate.conftest import make_project, project

__all__ = ["make_project", "project"]

COMPOSE = PROJECT_DIR / "docker-compose.yml"


def missing() -> str:
    """Why containers cannot be started here, or ''."""
    if not COMPOSE.is_file():
        return f"no {COMPOSE.name} in the project"
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no container engine: {error}"
    return "" if done.returncode == 0 else f"no container engine: {done.stderr.strip().splitlines()[-1]}"


@pytest.fixture(scope="session")
def docker_compose_file() -> Path:
    """The project's own compose file; skips where it cannot be used."""
    if reason := missing():
        pytest.skip(reason)
    return COMPOSE


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Settings:
    """Settings of the ClickHouse server in the container, once it answers."""
    request.getfixturevalue("docker_compose_file")  # skips before an engine is asked for
    services: Any = request.getfixturevalue("docker_services")
    settings = Settings(clickhouse_url=f"http://127.0.0.1:{services.port_for('clickhouse', 8123)}")

    def answers() -> bool:
        try:
            connect(settings, database="").close()
        except ClickHouseError:
            return False
        return True

    services.wait_until_responsive(check=answers, timeout=120, pause=0.5)
    return settings


@pytest.fixture
def open_client(server: Settings) -> Callable[[], Client]:
    """Opens HTTP clients on the server."""
    return lambda: connect(server, database="")
