"""From the topics of people and accounts to tables and alerts, on a real node with the whole schema."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition

from chctl.clickhouse import connect
from chctl.rebuild import rebuild
from chctl.settings import Settings
from tests.beacon_processes import gateway
from tests.browser.chromium import BINARY, browser
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)  # the whole schema is applied first

#: A moment an hour ago, in ms: rules raise nothing about it.
NOON = (time.time_ns() // 1_000_000 - 3_600_000) // 60_000 * 60_000
TRANSFER = ("event_id", "receive_time", "user_id", "user_tier", "action", "asset", "amount")


@pytest.fixture
def client(whole: Settings) -> Iterator[Client]:
    with connect(whole) as opened:
        yield opened


def rows(client: Client, sql: str) -> list[dict[str, Any]]:
    return list(client.query(sql).named_results())


def order(event_id: str, action: str, **fields: Any) -> bytes:
    now = time.time_ns() // 1_000_000
    known = {"event_id": event_id, "event_time": now, "receive_time": now * 1000, "user_id": 42, "user_tier": "bot"}
    known |= {"action": action, "venue": "sim", "symbol": "BTCUSDT", "side": "BUY", "price": 100.0, "quantity": 1.0}
    return json.dumps(known | fields).encode()


def test_trades_with_oneself_reach_the_topic_of_alerts_as_one_alert(whole: Settings, client: Client) -> None:
    producer = Producer({"bootstrap.servers": whole.kafka_brokers})
    sent: list[bytes] = []
    for n in range(3):
        fill = {"trade_id": 100 + n, "counterparty_id": 42, "liquidity": "maker", "order_id": 10 + n}
        message = order(f"n{n}", "new", order_id=10 + n) + b"\n" + order(f"f{n}", "fill", **fill)
        sent.append(message)
        producer.produce("user_actions", message, b"42")
        producer.flush()
        second = int(time.time())
        wait_for(lambda second=second: int(time.time()) > second, what="the next second")
    wait_for(lambda: rows(client, "SELECT 1 FROM alerts WHERE rule = 'self_trade'"), 30, "the alert")
    for message in sent:  # delivered again
        producer.produce("user_actions", message, b"42")
    producer.produce("user_actions", order("last", "new", order_id=99), b"42")
    producer.flush()
    wait_for(lambda: rows(client, "SELECT 1 FROM user_orders WHERE event_id = 'last'"), 30, "what came last")

    [alert] = rows(client, "SELECT alert_id, entity, status FROM alerts FINAL WHERE rule = 'self_trade'")
    assert (alert["entity"], alert["status"]) == ("user:42@sim:BTCUSDT", "firing")

    def minute() -> tuple[int, int]:
        [found] = rows(client, "SELECT sum(self_trades) AS n, sum(new_orders) AS orders FROM dash_orders_1m")
        return found["n"], found["orders"]

    wait_for(lambda: minute()[1] == 4, 30, "the rollup of what came last, which follows its table")
    assert minute() == (3, 4)
    assert on_topic(whole, alert["alert_id"])["rule"] == "self_trade"


def on_topic(settings: Settings, alert_id: str) -> dict[str, Any]:
    """The alert's message on the topic `alerts`."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_brokers, "group.id": "test"})
    try:
        partitions = consumer.list_topics("alerts", 10).topics["alerts"].partitions
        consumer.assign([TopicPartition("alerts", partition, 0) for partition in partitions])

        def found() -> dict[str, Any] | None:
            message = consumer.poll(1)
            if message is None or message.error():
                return None
            return next(
                (row for row in map(json.loads, message.value().splitlines()) if row["alert_id"] == alert_id), None
            )

        return wait_for(found, 30, "the message")
    finally:
        consumer.close()


@pytest.mark.parametrize("rollup", ["order_flow_1s", "transfers_1m"])
def test_after_repeats_a_rollup_equals_its_rebuild(whole: Settings, client: Client, rollup: str) -> None:
    producer = Producer({"bootstrap.servers": whole.kafka_brokers})
    transfer = json.loads(order(f"t-{rollup}", "deposit")) | {"asset": "USDT", "amount": 5.0}
    lines = [
        *(order(f"{rollup}-{n}", "new", order_id=1000 + n, event_time=NOON + n * 100) for n in range(30)),
        *(order(f"{rollup}-c{n}", "cancel", order_id=1000 + n, event_time=NOON + 900 + n * 100) for n in range(30)),
        json.dumps({k: v for k, v in transfer.items() if k in TRANSFER} | {"event_time": NOON}).encode(),
    ]
    for block in (lines[:40], lines[20:], lines[:10], [order(f"end-{rollup}", "new", order_id=1, event_time=NOON)]):
        producer.produce("user_actions", b"\n".join(block), b"42")
        producer.flush()
    wait_for(lambda: rows(client, f"SELECT 1 FROM user_orders WHERE event_id = 'end-{rollup}'"), 30, "what came last")
    at = datetime.fromtimestamp(NOON / 1000, UTC)
    result = rebuild(whole, rollup, at - timedelta(minutes=1), at + timedelta(minutes=2), check=True)
    assert result.rows > 0
    assert result.different == 0


def test_browser_events_sent_twice_are_stored_once(whole: Settings, client: Client, tmp_path: Path) -> None:
    events = [
        {"event_id": f"e{n}", "event_time": time.time_ns() // 1_000_000, "event_type": "click", "element": "buy"}
        for n in range(20)
    ]
    body = json.dumps({"session_id": "twice", "user_id": "7", "events": events}).encode()
    with gateway(whole.kafka_brokers, tmp_path, ack_seconds="20") as g:
        for _ in range(2):
            assert g.post(body).json() == {"accepted": 20, "rejected": []}
    wait_for(lambda: rows(client, "SELECT count() AS n FROM frontend_actions")[0]["n"] >= 20, 30, "the rows")
    assert rows(client, "SELECT count() AS n, uniqExact(event_id) AS ids FROM frontend_actions FINAL") == [
        {"n": 20, "ids": 20}
    ]


@pytest.mark.skipif(not BINARY, reason="no Chromium: apt-get install chromium-headless-shell")
def test_clicks_of_a_closed_tab_are_in_frontend_actions(
    whole: Settings, client: Client, tmp_path: Path, site: Callable[[str], str]
) -> None:
    with browser(tmp_path / "profile") as chromium, gateway(whole.kafka_brokers, tmp_path, origins=site("")) as g:
        page = chromium.open(site(g.url))
        for _ in range(12):
            page.click("[data-beacon=sell]")
        page.close()
        query = "SELECT count() AS n FROM frontend_actions FINAL WHERE element = 'sell'"
        wait_for(lambda: rows(client, query)[0]["n"] >= 12, 30, "the clicks")
    assert rows(client, query) == [{"n": 12}]


@pytest.fixture
def site() -> Iterator[Callable[[str], str]]:
    """Serve a page that loads beacon.js from a gateway: `site(url of its /events)`; '' asks for the origin."""
    from tests.browser.test_beacon_js import Site

    served = Site()

    def address(gateway_url: str) -> str:
        served.gateway = gateway_url.removesuffix("/events")
        return f"{served.origin}/ticket?flush=100000000" if gateway_url else served.origin

    yield address
    served.close()
