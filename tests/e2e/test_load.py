"""`chctl load`: what it produces is stored, once, and told beside the run before."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from chctl import load
from chctl.contracts import load_all
from chctl.settings import PROJECT_DIR, Settings
from cli import app

CONTRACTS = {contract.topic: contract for contract in load_all(PROJECT_DIR / "contracts")}


def test_every_row_keeps_its_contract_and_no_two_markets_share_an_account_or_an_event() -> None:
    profile = load.Profile(markets=2, frontend=5, posts=2, says="")
    topics: dict[str, int] = {}
    events: list[str] = []
    for _, topic, _, value in load.traffic(profile, 5, CONTRACTS, "loadtest"):
        for line in value.split(b"\n"):
            assert CONTRACTS[topic].line_reasons(line) == [], line
            topics[topic] = topics.get(topic, 0) + 1
            if topic == "user_actions":
                events.append(line.split(b'"event_id":"')[1].split(b'"')[0].decode())
    assert set(topics) == {
        "user_actions",
        "market_trades",
        "market_l2",
        "frontend_events",
        "social_raw",
        "social_processed",
    }
    assert len(events) > len(set(events)) * 0.99  # the simulated network repeats a few
    assert {event[:10] for event in events} == {"loadtest10", "loadtest11"}


def test_a_short_run_is_stored_whole_and_stands_beside_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: Settings
) -> None:
    monkeypatch.setitem(load.PROFILES, "calm", load.Profile(1, 5, 1, ""))
    monkeypatch.setattr("chctl.settings.settings", lambda: system.model_copy(update={"data_dir": tmp_path}))
    first = CliRunner().invoke(app, ["load", "--profile", "calm", "--for", "4s"])
    assert first.exit_code == 0, first.output
    second = CliRunner().invoke(app, ["load", "--profile", "calm", "--for", "4s"])
    assert second.exit_code == 0, second.output
    assert (tmp_path / "load" / "calm.json").exists()
    assert "produced to outbox" in second.stdout
    assert "sent again" in second.stdout  # by the simulated network: stored once all the same


def test_each_figure_stands_beside_that_of_the_run_before(tmp_path: Path) -> None:
    assert load.previous(tmp_path, "busy") is None
    before = load.Result(
        "busy", "2026-11-25T10:00:00Z", 600, {"market_l2": 6000}, {}, {"market_l2": 6000}, 1.5, 40, 0.2
    )
    now = load.Result("busy", "2026-11-26T10:00:00Z", 300, {"market_l2": 9000}, {}, {"market_l2": 8999}, 120, 900, 31.0)
    load.keep(tmp_path, before)
    shown = {
        row["figure"]: (row["this run"], row["the run before"])
        for row in load.table(now, load.previous(tmp_path, "busy"))
    }
    assert shown["began"] == (now.began, before.began)
    assert shown["market_l2"] == ("30 rows/s (9,000, 8,999 stored)", "10 rows/s (6,000, 6,000 stored)")
    assert shown["largest lag"] == ("900 messages, 31 s", "40 messages, 0.2 s")
    assert shown["stored after the end"] == ("120 s", "1.5 s")
    assert {row["the run before"] for row in load.table(now, None)} == {""}


def test_a_profile_that_is_none_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["load", "--profile", "storm"]).exit_code == 2
