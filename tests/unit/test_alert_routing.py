"""The routing tree: where alerts go, and every fault of a file with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chctl.lint import routing as routing_findings
from chctl.settings import PROJECT_DIR
from feeders.alerting.model import Alert, Page, idempotency_key
from feeders.alerting.routing import Routing, RoutingError, check, load

CHANNELS = {
    "ops": {"type": "webhook", "url": "https://ops.example/hook"},
    "slack": {"type": "slack", "url_file": "slack"},
    "pager": {"type": "pagerduty", "routing_key_file": "pagerduty"},
}


def alert(**fields: Any) -> Alert:
    base: dict[str, Any] = {
        "alert_id": "a1",
        "rule": "liquidity_drop",
        "severity": "warning",
        "status": "firing",
        "entity": "binance:BTCUSDT",
        "symbol": "BTCUSDT",
        "started_time": 0,
        "event_time": 0,
        "raised_time": 0,
    }
    return Alert(**(base | fields))


def routing(route: dict[str, Any], **more: Any) -> Routing:
    return Routing.model_validate({"channels": CHANNELS, "route": route, "fallback": "ops"} | more)


def channels(tree: Routing, **fields: Any) -> list[str]:
    return [name for found in tree.destinations(alert(**fields)) for name in found.channels]


TREE = {
    "channels": ["ops"],
    "repeat": "4h",
    "routes": [
        {"match": {"severity": "critical"}, "channels": ["pager"], "continue": True},
        {"match": {"rule": "liquidity_*", "symbol": ["BTC*", "ETHUSDT"]}, "channels": ["slack"], "repeat": "30m"},
        {"match": {"user_id": 42}, "routes": [{"match": {"severity": "info"}, "channels": ["slack"]}]},
    ],
}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"symbol": "XRPUSDT"}, ["ops"]),
        ({}, ["slack"]),
        ({"severity": "critical"}, ["pager", "slack"]),
        ({"severity": "critical", "symbol": "XRPUSDT"}, ["pager"]),
        ({"symbol": "btcusdt"}, ["ops"]),
        ({"symbol": None, "user_id": 42}, ["ops"]),
        ({"symbol": None, "user_id": 42, "severity": "info"}, ["slack"]),
    ],
)
def test_an_alert_goes_down_the_first_branch_that_matches(fields: dict[str, Any], wanted: list[str]) -> None:
    assert channels(routing(TREE), **fields) == wanted


def test_children_inherit_what_they_do_not_say() -> None:
    critical, drop = routing(TREE).destinations(alert(severity="critical"))
    assert (critical.repeat, critical.path) == (4 * 3600, "route.routes[0]")
    assert (drop.repeat, drop.path) == (1800, "route.routes[1]")


@given(
    rule=st.text(),
    severity=st.sampled_from(["info", "warning", "critical"]),
    symbol=st.none() | st.text(),
    user_id=st.none() | st.integers(0, 2**64 - 1),
)
def test_every_alert_goes_somewhere_and_nowhere_twice(
    rule: str, severity: str, symbol: str | None, user_id: int | None
) -> None:
    found = channels(routing(TREE), rule=rule, severity=severity, symbol=symbol, user_id=user_id)
    assert found
    assert len(found) == len(set(found))


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "routes.yaml"
    file.write_text(text)
    return [fault.removeprefix(f"{file}: ") for fault in check(file)[1]]


def test_a_good_file_has_no_faults(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump({"channels": CHANNELS, "route": TREE, "fallback": "ops"}))
    assert check(file)[1] == []
    assert load(file).route.repeat == 4 * 3600


def test_the_file_we_ship_has_no_faults_and_sends_critical_alerts_to_a_pager() -> None:
    file = PROJECT_DIR / "deploy" / "alerts" / "routes.yaml"
    assert check(file)[1] == []
    (found,) = load(file).destinations(alert(severity="critical"))
    assert "pager" in found.channels
    assert found.escalate[0].channels == ("mail",)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"route": {"channels": []}}, "route.channels: the root needs a channel"),
        ({"route": {"channels": ["ops"], "match": {"rule": "x"}}}, "route.match: the root takes every alert"),
        ({"route": {"channels": ["opps"]}}, "no channel is called 'opps'"),
        ({"route": {"channels": ["ops"], "repaet": "4h"}}, "route.repaet: Extra inputs are not permitted"),
        ({"route": {"channels": ["ops"], "repeat": "4 fortnights"}}, "route.repeat"),
        ({"route": {"channels": ["ops"], "routes": [{"match": {"colour": "red"}}]}}, "route.routes.0.match.colour"),
        (
            {"route": {"channels": ["ops"], "escalate": [{"after": "5m", "channels": ["nobody"]}]}},
            "no channel is called 'nobody'",
        ),
        (
            {
                "route": {
                    "channels": ["ops"],
                    "routes": [{"channels": ["slack"]}, {"match": {"rule": "x"}, "channels": ["pager"]}],
                }
            },
            "route.routes[1]: never reached",
        ),
        ({"fallback": "nobody"}, "fallback: no channel is called 'nobody'"),
        ({"fallback": ""}, "fallback: name the channel"),
        ({"channels": CHANNELS | {"idle": {"type": "webhook", "url": "https://x"}}}, "channels.idle: no route leads"),
        ({"channels": CHANNELS | {"ops": {"type": "webhook"}}}, "channels.ops: webhook needs one of url and url_file"),
        ({"channels": CHANNELS | {"slack": {"type": "slack", "url": "https://x"}}}, "its URL is a secret"),
        ({"channels": CHANNELS | {"pager": {"type": "pagerduty"}}}, "pagerduty needs routing_key_file"),
        ({"channels": CHANNELS | {"ops": {"type": "pigeon"}}}, "channels.ops.type"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    good = {"channels": CHANNELS, "route": TREE, "fallback": "ops"}
    found = faults(tmp_path, yaml.safe_dump(good | change))
    assert any(fault in each for each in found), found


def test_chctl_lint_names_the_faults_of_the_files_in_deploy_alerts(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "alerts"
    folder.mkdir(parents=True)
    (folder / "routes.yaml").write_text(yaml.safe_dump({"channels": CHANNELS, "route": TREE, "fallback": "nobody"}))
    assert [str(finding) for finding in routing_findings(tmp_path)] == [
        "deploy/alerts/routes.yaml:1: fallback: no channel is called 'nobody'"
    ]


@pytest.mark.parametrize("text", ["", "a: [", "[]", "null", "channels: {}"])
def test_a_file_that_is_no_routing_file_is_refused_whole(tmp_path: Path, text: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(text)
    with pytest.raises(RoutingError, match=r"routes\.yaml"):
        load(file)


@given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["firing", "resolved"])), min_size=1, unique=True))
def test_the_idempotency_key_depends_on_the_alerts_channel_and_step_alone(keys: list[tuple[str, Any]]) -> None:
    alerts = [alert(alert_id=alert_id, status=status) for alert_id, status in keys]
    key = idempotency_key(alerts, "ops")
    assert key == idempotency_key(reversed(alerts), "ops") == Page(channel="ops", alerts=tuple(alerts)).key
    assert key != idempotency_key(alerts, "slack")
    assert key != idempotency_key(alerts, "ops", 1)
    assert key != idempotency_key([*alerts, alert(alert_id="another one")], "ops")
