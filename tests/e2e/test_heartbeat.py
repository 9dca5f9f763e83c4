"""The heartbeat of the alert path: it goes through every hop, tells a check outside, and its absence pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from chctl.answers import select
from chctl.clickhouse import connect
from tests.e2e.alert_kit import Feeder, deliveries, start_feeder
from tests.receiver import Got, Receiver
from tests.waiting import wait_for
from tests.whole import Start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Both the check outside (/check) and the people's webhook (/hook)."""
    it = Receiver().start()
    yield it
    it.stop()


@pytest.fixture
def feeders() -> Iterator[list[Feeder]]:
    started: list[Feeder] = []
    yield started
    for feeder in started:
        feeder.kill()


def missing(receiver: Receiver) -> list[str]:
    """What the webhook was told about heartbeat_missing, in order."""
    return [alert["status"] for got in receiver.got if got.path == "/hook" for alert in _alerts(got)]


def _alerts(got: Got) -> list[dict[str, str]]:
    return [alert for alert in got.json["data"]["alerts"] if alert["rule"] == "heartbeat_missing"]


def heartbeats(client: Client) -> list[dict[str, object]]:
    return select(client, "SELECT * FROM dash_heartbeats WHERE outcome = 'delivered' ORDER BY sent_time")


def test_it_passes_every_hop_and_pages_past_a_dead_node(
    whole_node: Start, receiver: Receiver, feeders: list[Feeder]
) -> None:
    node = whole_node()
    s = node.settings()
    feeders.append(
        start_feeder(
            s,
            "--webhook",
            receiver.url("/hook"),
            CHCTL_HEARTBEAT_S="1",
            CHCTL_HEARTBEAT_LATE_S="15",
            CHCTL_HEARTBEAT_URL=receiver.url("/check"),
        )
    )
    with connect(s) as client:
        beats = wait_for(lambda: heartbeats(client)[:3] if len(heartbeats(client)) >= 3 else [])
        assert all(beat["http_status"] in range(200, 300) for beat in beats)
        assert all(beat["sent_time"] <= beat["raised_time"] <= beat["delivered_time"] for beat in beats)  # type: ignore[operator]
        assert select(client, "SELECT status FROM dash_health WHERE check = 'heartbeat'") == [{"status": "ok"}]
        assert select(client, "SELECT alert_id FROM alerts_open") == []
    assert any(b"heartbeat of " in got.body for got in receiver.got if got.path == "/check")
    assert missing(receiver) == []

    node.kill()
    wait_for(lambda: missing(receiver) == ["firing"])
    summary = next(a["summary"] for got in receiver.got if got.path == "/hook" for a in _alerts(got))
    assert "the node does not answer" in summary

    again = whole_node(port=int(node.url.rsplit(":", 1)[1]))
    wait_for(lambda: missing(receiver) == ["firing", "resolved"])
    with connect(again.settings(), timeout=10) as client:
        told = [row for row in deliveries(client, "delivered") if row[2] == "webhook"]
        assert [status for _, status, _, _ in told] == ["firing", "resolved"]
        history = "SELECT rule, delivered FROM alerts_history WHERE rule = 'heartbeat_missing'"
        assert select(client, history) == [{"rule": "heartbeat_missing", "delivered": 2}]
        assert select(client, "SELECT alert_id FROM alerts_open") == []
