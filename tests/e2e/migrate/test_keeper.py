"""The lock in Keeper: two servers of a cluster, each of its own process and data, migrate one at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chctl.settings import PROJECT_DIR
from tests.kafka.server import missing
from tests.zookeeper import ZooKeeper

from .conftest import SOURCES

pytestmark = pytest.mark.kafka  # the jars are Apache Kafka's


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """One ZooKeeper for these tests."""
    if lacking := missing():
        reason = f"Apache ZooKeeper needs {lacking}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: required in CI")
        pytest.skip(reason)
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.stop()


class Replicas:
    """Servers of one cluster, by name."""

    def __init__(self, keeper: ZooKeeper, folder: Path) -> None:
        self._folder = folder
        self._config = keeper.write_config(folder / "config.xml")
        (folder / "project/migrations").mkdir(parents=True)
        (folder / "project/views").mkdir()
        (folder / "project/migrations/0001_create_src_tgt.sql").write_text(SOURCES)

    def start(self, name: str, *command: str) -> subprocess.Popen[str]:
        """Start a command on a server."""
        program = [sys.executable, "-m", "tests.e2e.migrate.replica", str(self._folder / name), str(self._config)]
        return subprocess.Popen(
            [*program, str(self._folder / "project"), *command], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True
        )

    def run(self, name: str, *command: str) -> Any:
        """Run a command on a server; what it says."""
        output, _ = self.start(name, *command).communicate(timeout=100)
        return json.loads(output)


@pytest.fixture
def replicas(keeper: ZooKeeper, tmp_path: Path) -> Replicas:
    """A cluster without any data, and a project to apply to it."""
    return Replicas(keeper, tmp_path)


def test_a_run_through_one_server_holds_up_a_run_through_another_until_it_is_dead(replicas: Replicas) -> None:
    first = replicas.start("a", "hold")
    assert first.stdout is not None
    assert first.stdout.readline() == "{}\n"
    told = replicas.run("b", "migrate")["error"]
    assert f"pid {first.pid} is migrating together" in told
    assert f"pid {first.pid}" in replicas.run("b", "holder")["holder"]
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert replicas.run("b", "migrate")["migrations"] == ["0001_create_src_tgt.sql"]
    assert replicas.run("b", "holder") == {"holder": ""}


def test_of_many_runs_that_find_a_dead_holder_in_keeper_one_gets_the_lock(replicas: Replicas) -> None:
    assert replicas.run("a", "contend", "6") == {"held": 1}
