"""Faults at every hop: each alert is delivered, none twice to a receiver that honours its key, and history is whole."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.node.run import NodeProcess
from chctl.settings import Settings
from feeders import alerts
from feeders.channels.build import build, single
from tests.e2e.alert_kit import create_tables, deliveries, publish, raise_alerts, start_feeder
from tests.kafka.server import ApacheKafka
from tests.receiver import Receiver, hang_after
from tests.waiting import wait_for


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    it = Receiver().start()
    yield it
    it.stop()


def history_is_whole(client: Client) -> bool:
    """Every alert has a final outcome for every channel it was queued for, under the key it was queued with."""
    open_ends = client.query(
        """
        SELECT alert_id, status, channel
        FROM alert_deliveries
        WHERE idempotency_key != 'held'
        GROUP BY alert_id, status, channel, idempotency_key
        HAVING countIf(outcome IN ('delivered', 'failed', 'suppressed')) = 0
        """
    ).result_rows
    return not open_ends


@pytest.mark.timeout(180)
def test_5000_alerts_and_a_feeder_killed_again_and_again(
    client: Client, settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    create_tables(client)
    dice = random.Random(11)
    receiver.script = lambda _got: hang_after(200) if dice.random() < 0.02 else None
    routes = tmp_path / "routes.yaml"
    channel = {"type": "webhook", "url": receiver.url()}
    group = {"by": ["rule", "symbol"], "limit": 3, "window": "1s"}
    routes.write_text(yaml.safe_dump({"channels": {"ops": channel}, "route": {"channels": ["ops"], "group": group}}))
    away = settings.model_copy(update={"kafka_brokers": "127.0.0.1:1"})
    now = time.time()
    raise_alerts(
        client,
        [
            {
                "alert_id": f"a{n}",
                "symbol": f"S{n % 40}",
                "entity": f"user:{n % 500}",
                "status": status,
                "raised_time": now - 10 + n / 1000 + (status == "resolved") / 2000,
            }
            for n in range(2500)
            for status in ("firing", "resolved")
        ],
    )
    kills = 0
    while len(set(receiver.delivered())) < 5000:
        feeder = start_feeder(away, "--routes", str(routes), CHCTL_ALERTS_LEASE_S="1")
        wait_for(lambda f=feeder: f.said("this feeder delivers"))  # type: ignore[misc]
        if kills < 3:
            seen = len(receiver.got)
            wait_for(lambda n=seen: len(receiver.got) > n + 20 or len(set(receiver.delivered())) == 5000)  # type: ignore[misc]
            kills += 1
        else:
            wait_for(lambda: len(set(receiver.delivered())) == 5000, 60)
            wait_for(lambda: history_is_whole(client))
        feeder.kill()
    assert kills == 3
    assert history_is_whole(client)
    counts = Counter(receiver.delivered())
    assert len(counts) == 5000
    assert [alert for alert, count in counts.items() if count > 1] == []
    place = {alert: position for position, alert in enumerate(receiver.delivered())}
    for number in range(2500):
        assert place[f"a{number}", "firing"] < place[f"a{number}", "resolved"]
        if number >= 500:  # the entity's earlier alert ended before this one began
            assert place[f"a{number - 500}", "resolved"] < place[f"a{number}", "firing"]


@pytest.mark.timeout(180)
def test_the_node_dies_between_the_outbox_and_the_topic_and_comes_back(
    fresh_node: Callable[..., NodeProcess], receiver: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    node = fresh_node(port=port)
    s = node.settings(clickhouse_database="test_alerts")
    admin = connect(s, database="")
    admin.command("CREATE DATABASE test_alerts ENGINE = Atomic")
    client = connect(s)
    create_tables(client)
    kafka = AdminClient({"bootstrap.servers": s.kafka_brokers})
    kafka.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(10)
    feeder = start_feeder(s, "--webhook", receiver.url())
    try:
        raise_alerts(client, [{"alert_id": "before"}])
        wait_for(lambda: deliveries(client, "delivered"))
        # In the outbox and never on the topic: the node dies in between.
        receiver.stop()
        raise_alerts(client, [{"alert_id": "outbox-only"}])
        node.kill()
        receiver.start()
        # On the topic, while there is nobody to ask and nobody to tell the record to.
        publish(s, {"alert_id": "while-away", "entity": "other"})
        wait_for(lambda: ("while-away", "firing") in receiver.delivered(), 30)
        fresh_node(port=port)
        client = connect(s)
        wait_for(lambda: ("outbox-only", "firing") in receiver.delivered(), 30)
        wait_for(lambda: len(deliveries(client, "delivered")) == 3, 30)
        assert Counter(receiver.delivered()) == Counter(
            [("before", "firing"), ("while-away", "firing"), ("outbox-only", "firing")]
        )
        assert history_is_whole(client)
    finally:
        feeder.kill()


def test_a_node_that_hangs_delays_no_page_by_more_than_moments(
    fresh_node: Callable[..., NodeProcess], receiver: Receiver
) -> None:
    node = fresh_node()
    s = node.settings(clickhouse_database="test_alerts")
    connect(s, database="").command("CREATE DATABASE test_alerts ENGINE = Atomic")
    client = connect(s)
    create_tables(client)
    kafka = AdminClient({"bootstrap.servers": s.kafka_brokers})
    kafka.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(10)
    feeder = start_feeder(s, "--webhook", receiver.url())
    try:
        publish(s, {"alert_id": "before"})
        wait_for(lambda: receiver.delivered())
        os.kill(node.pid, signal.SIGSTOP)
        started = time.monotonic()
        for number in range(3):
            publish(s, {"alert_id": f"hung{number}", "entity": f"e{number}"})
            wait_for(lambda n=number: (f"hung{n}", "firing") in receiver.delivered())  # type: ignore[misc]
        assert time.monotonic() - started < 15  # the node itself is waited for ten seconds an answer
        os.kill(node.pid, signal.SIGCONT)
        wait_for(lambda: len(set(deliveries(client, "delivered"))) == 4, 30)
        assert len(receiver.delivered()) == 4
        assert history_is_whole(client)
    finally:
        feeder.kill()


def test_a_name_that_does_not_resolve_for_a_while_delays_and_doubles_nothing(
    client: Client, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole feeder, in this process: only here can its resolver fail."""
    create_tables(client)
    resolve = socket.getaddrinfo
    up = False

    def resolver(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "hooks.example":
            return resolve(host, *arguments, **named)
        if not up:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    changes = {"kafka_brokers": "127.0.0.1:1", "webhook_allow_private": "127.0.0.1/32", "heartbeat_s": 0}
    s = settings.model_copy(update=changes | {"alerts_sweep_s": 0.2})
    routing = single(f"http://hooks.example:{receiver.port}/")

    async def scenario() -> None:
        nonlocal up
        stop = asyncio.Event()
        running = asyncio.create_task(alerts.Feeder(s, build(s, routing), routing).run(stop))
        await asyncio.to_thread(wait_for, lambda: ("a1", "firing", "webhook", "retry") in deliveries(client))
        raise_alerts(client, [{"alert_id": "a2"}])
        up = True
        await asyncio.to_thread(wait_for, lambda: len(deliveries(client, "delivered")) == 2)
        stop.set()
        await running

    raise_alerts(client, [{"alert_id": "a1"}])
    asyncio.run(scenario())
    assert receiver.delivered() == [("a1", "firing"), ("a2", "firing")]
    assert len(receiver.got) == 2
    assert not deliveries(client, "failed")
    assert history_is_whole(client)


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_kafka_dies_and_comes_back_and_nobody_waits_for_it(
    client: Client, settings: Settings, apache_kafka: ApacheKafka, receiver: Receiver
) -> None:
    create_tables(client)
    topic = f"alerts_{uuid.uuid4().hex[:8]}"
    s = settings.model_copy(update={"kafka_brokers": apache_kafka.brokers, "alerts_topic": topic})
    kafka = AdminClient({"bootstrap.servers": s.kafka_brokers})
    kafka.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    feeder = start_feeder(s, "--webhook", receiver.url())
    try:
        publish(s, *({"alert_id": f"a{n}", "entity": f"e{n}"} for n in range(10)))
        wait_for(lambda: len(receiver.delivered()) == 10, 40)
        apache_kafka.kill()
        raise_alerts(client, [{"alert_id": f"b{n}", "entity": f"e{n}"} for n in range(10)])
        wait_for(lambda: len(receiver.delivered()) == 20, 20)
        apache_kafka.start()
        publish(s, *({"alert_id": f"{x}{n}", "entity": f"e{n}"} for x in "bc" for n in range(10)))
        wait_for(lambda: len(set(receiver.delivered())) == 30, 60)
        wait_for(lambda: len(deliveries(client, "delivered")) == 30)
        assert len(receiver.got) == 30
    finally:
        feeder.kill()
