"""The node's HTTP interface gives clickhouse-connect the answers that the engine gives it in process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from chctl.settings import PROJECT_DIR
from tests.e2e.node_scenarios import SCENARIOS


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers of `interface="chdb"`, from a process of its own: an engine has one folder a process."""
    command = [sys.executable, "-m", "tests.e2e.node_scenarios", str(tmp_path_factory.mktemp("chdb"))]
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_http_and_in_process_give_the_same_answers(scenario: str, client: Client, in_process: dict[str, Any]) -> None:
    assert json.loads(json.dumps(SCENARIOS[scenario](client), default=str)) == in_process[scenario]
