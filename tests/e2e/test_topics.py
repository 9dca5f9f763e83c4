"""`chctl topics`: a broker is brought to the contracts, and nothing on it is ever taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from chctl import topics
from chctl.contracts import Contract, load_all
from chctl.node.run import NodeProcess
from chctl.settings import PROJECT_DIR, Settings
from tests.kafka.server import ApacheKafka


@pytest.fixture
def contracts() -> list[Contract]:
    """Two of ours, under names of the test's own."""
    mark = uuid.uuid4().hex[:8]
    return [
        msgspec.structs.replace(contract, topic=f"{contract.topic}_{mark}", partitions=2)
        for contract in load_all(PROJECT_DIR / "contracts")[:2]
    ]


def bring(settings: Settings, contracts: list[Contract]) -> topics.Plan:
    plan = topics.read(settings, contracts)
    topics.apply(settings, plan)
    return plan


def test_missing_topics_are_created_and_a_second_run_does_nothing(node: NodeProcess, contracts: list[Contract]) -> None:
    plan = bring(node.settings(), contracts)
    assert (plan.exit_code, [change.action for change in plan.changes]) == (2, ["create", "create"])

    again = bring(node.settings(), contracts)
    assert (again.exit_code, again.changes) == (0, [])
    for contract in contracts:
        found = again.topics[contract.topic]
        assert found is not None
        assert (found.partitions, found.config) == (2, topics.wanted_config(contract))


def test_planning_creates_nothing(node: NodeProcess, contracts: list[Contract]) -> None:
    first, second = (topics.read(node.settings(), contracts) for _ in range(2))
    assert first == second
    assert set(second.topics.values()) == {None}


def test_fewer_partitions_are_refused_with_the_way_out(node: NodeProcess, contracts: list[Contract]) -> None:
    bring(node.settings(), contracts)
    fewer = [msgspec.structs.replace(contract, partitions=1) for contract in contracts]
    plan = topics.read(node.settings(), fewer)
    assert plan.exit_code == 1
    with pytest.raises(topics.TopicsError, match="cannot take partitions away"):
        topics.apply(node.settings(), plan)
    assert topics.read(node.settings(), contracts).exit_code == 0


def test_a_broker_that_cannot_add_partitions_says_so(node: NodeProcess, contracts: list[Contract]) -> None:
    bring(node.settings(), contracts)
    more = [msgspec.structs.replace(contract, partitions=3) for contract in contracts]
    with pytest.raises(topics.TopicsError, match="partitions refused"):
        bring(node.settings(), more)


@pytest.mark.kafka
def test_apache_kafka_gets_partitions_and_configuration(apache_kafka: ApacheKafka, contracts: list[Contract]) -> None:
    settings = Settings(kafka_brokers=apache_kafka.brokers)
    bring(settings, contracts)
    wanted = [msgspec.structs.replace(contract, partitions=4, retention="2d") for contract in contracts]
    plan = bring(settings, wanted)
    assert {change.action for change in plan.changes} == {"partitions", "config"}
    assert topics.read(settings, wanted).changes == []


def chctl(node_settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "topics", *arguments],
        cwd=PROJECT_DIR,
        env={**os.environ, "CHCTL_KAFKA_BROKERS": node_settings.kafka_brokers, "CHCTL_PROJECT_DIR": str(PROJECT_DIR)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_plans_applies_and_tells(node: NodeProcess) -> None:
    settings = node.settings()
    assert chctl(settings, "apply").returncode == 0
    assert chctl(settings, "plan").stdout.strip() == "nothing to do"
    status = json.loads(chctl(settings, "status", "--json").stdout)
    wanted = {contract.topic: contract.partitions for contract in load_all(PROJECT_DIR / "contracts")}
    assert {topic: found["partitions"] for topic, found in status["topics"].items()} == wanted
    assert "market_l2" in chctl(settings, "status").stdout


def test_no_broker_is_an_error_that_says_what_to_look_at(tmp_path: Path) -> None:
    settings = Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path)
    answer = chctl(settings, "plan")
    assert answer.returncode == 1
    assert "CHCTL_KAFKA_BROKERS" in answer.stderr
