"""`chctl sizing`: from what a row costs to a machine, beside the specification's one node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from chctl import sizing
from chctl.contracts import load_all
from chctl.settings import PROJECT_DIR
from cli import app

CONTRACTS = {contract.topic: contract for contract in load_all(PROJECT_DIR / "contracts")}
COST = sizing.Topic(
    disk_bytes_per_row=100.0,
    broker_bytes_per_row=50.0,
    wire_bytes_per_row=200.0,
    cpu_us_per_row=10.0,
    cpu_ms_per_block=10.0,
)
FIGURES = sizing.Figures(
    "2026-11-25", "a test", 0.2, dict.fromkeys(("market_l2", "market_trades", "user_actions"), COST)
)


def test_disk_cpu_and_network_follow_from_the_figures() -> None:
    found = sizing.size(FIGURES, CONTRACTS, {"user_actions": 1000}, 30)
    (stream,) = found.streams
    assert stream.disk_gb == pytest.approx(1000 * 86_400 * 30 * 100 / 1e9, rel=1e-3)
    consumers = CONTRACTS["user_actions"].consumers.clickhouse
    assert consumers
    # 10 ms of each second are spent on rows; the rest goes round in 100 ms of gathering, 10 of a block, 10 of rest.
    blocks = (1 - 0.01 / consumers.num_consumers) / 0.120
    assert stream.cores == pytest.approx(1000 * 10e-6 + blocks * 10e-3, abs=1e-3)
    assert stream.mbit == pytest.approx(1000 * 200 * 8 * 2 / 1e6)
    assert (found.cores, found.disk_gb, found.shards) == (8, 1000, 1)
    assert "chctl tune --cores 8 --ram 32 --disk 1000" in sizing.advice(found)


def test_few_rows_are_a_block_each_and_no_reader_is_busier_than_one_core() -> None:
    def cores(rate: float) -> float:
        return sizing.size(FIGURES, CONTRACTS, {"user_actions": rate}, 30).streams[0].cores

    assert cores(2) == pytest.approx(2 * (10e-6 + 10e-3), abs=1e-3)
    consumers = CONTRACTS["user_actions"].consumers.clickhouse
    assert consumers
    assert cores(consumers.num_consumers / 10e-6) == pytest.approx(consumers.num_consumers)


def test_a_node_to_which_nothing_comes_is_busy_all_the_same() -> None:
    assert sizing.size(FIGURES, CONTRACTS, {}, 30).busy_cores_at_peak == 0.2


def test_what_no_node_of_the_specification_carries_is_said_to_need_shards() -> None:
    found = sizing.size(FIGURES, CONTRACTS, {"user_actions": 500_000}, 30)
    assert found.shards > 1
    assert not found.as_dict()["fits_one_node"]
    assert "chctl cluster" in sizing.advice(found)[-1]


@given(rate=st.floats(1, 1e5), more=st.floats(1, 10), days=st.integers(1, 365))
def test_more_rows_never_need_a_smaller_machine(rate: float, more: float, days: int) -> None:
    few, many = (sizing.size(FIGURES, CONTRACTS, {"market_l2": each}, days) for each in (rate, rate * more))
    assert (few.cores, few.ram_gib, few.disk_gb, few.shards) <= (many.cores, many.ram_gib, many.disk_gb, many.shards)
    assert few.stored_gb <= many.stored_gb


def test_a_file_that_cannot_be_used_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(sizing.SizingError, match=r"bench/sizing\.py --write"):
        sizing.load(tmp_path / "sizing.yaml")


def test_the_command_reads_the_figures_of_the_tree_and_sets_the_machine_beside_the_specification() -> None:
    asked = ["sizing", "--l2-per-sec", "200", "--trades-per-sec", "300", "--orders-per-sec", "500", "--days", "30"]
    said = CliRunner().invoke(app, [*asked, "--json"])
    assert said.exit_code == 0, said.output
    (found,) = json.loads(said.stdout)
    kept = sizing.load(PROJECT_DIR / "deploy" / "sizing.yaml")
    assert (found["measured"], found["machine"]) == (kept.measured, kept.machine)
    stored = {
        s["topic"]: s["rows_per_sec"] * 30 * 86_400 * kept.topics[s["topic"]].disk_bytes_per_row / 1e9
        for s in found["streams"]
    }
    assert {s["topic"]: s["disk_gb"] for s in found["streams"]} == pytest.approx(stored, abs=0.1)
    assert found["specified"]["ram_gib"] == [32, 64]
    for topic in kept.topics.values():
        assert sum(topic.tables.values()) == pytest.approx(topic.disk_bytes_per_row, abs=0.1)
        assert topic.rows >= 1000
    shown = " ".join(CliRunner().invoke(app, asked).stdout.split())
    assert "1000-2000 GB" in shown
    assert kept.measured in shown
