"""`chctl feed alerts`: from the outbox and the topic to a webhook, once, in order, on record, whatever breaks."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from standardwebhooks import Webhook
from starlette.responses import Response

from chctl.settings import Settings
from tests.e2e.alert_kit import (
    SECRET,
    Feeder,
    create_tables,
    deliveries,
    publish,
    raise_alerts,
    start_feeder,
)
from tests.receiver import Receiver, hang_after
from tests.waiting import wait_for


@pytest.fixture
def outbox(client: Client) -> Client:
    create_tables(client)
    return client


@pytest.fixture
def s(settings: Settings, topic: Callable[..., str]) -> Settings:
    return settings.model_copy(update={"alerts_topic": topic("alerts", 3)})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    it = Receiver().start()
    yield it
    it.stop()


@pytest.fixture
def feed(s: Settings, receiver: Receiver) -> Iterator[Callable[..., Feeder]]:
    """Start a feeder that delivers to `receiver`; all end with the test."""
    started: list[Feeder] = []

    def start(*arguments: str, **environment: str) -> Feeder:
        started.append(start_feeder(s, *(arguments or ("--webhook", receiver.url())), **environment))
        return started[-1]

    yield start
    for feeder in started:
        feeder.kill()


def test_an_alert_of_the_outbox_arrives_signed_and_is_recorded(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed()
    raise_alerts(outbox, [{"alert_id": "a1", "summary": "depth fell by 70 %", "evidence": '{"bids": 3}'}])
    wait_for(lambda: deliveries(outbox, "delivered") == [("a1", "firing", "webhook", "delivered")])
    (got,) = receiver.got
    message = Webhook(SECRET).verify(got.body, got.headers)
    assert message["type"] == "alert.firing"
    (alert,) = message["data"]["alerts"]
    assert (alert["alert_id"], alert["summary"], alert["evidence"]) == ("a1", "depth fell by 70 %", '{"bids": 3}')
    assert outbox.query("SELECT DISTINCT idempotency_key FROM alert_deliveries").result_rows == [(got.key,)]


def test_an_alert_that_is_only_on_the_topic_arrives(
    outbox: Client, s: Settings, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    publish(s, {"alert_id": "only-kafka"})
    feed()
    wait_for(lambda: receiver.delivered() == [("only-kafka", "firing")])
    wait_for(lambda: deliveries(outbox, "delivered"))


def test_an_alert_on_topic_and_outbox_arrives_once_also_after_a_restart(
    outbox: Client, s: Settings, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    raise_alerts(outbox, [{"alert_id": "both"}])
    publish(s, {"alert_id": "both"}, {"alert_id": "both"})
    first = feed()
    wait_for(lambda: deliveries(outbox, "delivered"))
    assert first.stop() == 0
    publish(s, {"alert_id": "both"})
    feed()
    raise_alerts(outbox, [{"alert_id": "next"}])  # once this one is there, the other would have been
    wait_for(lambda: ("next", "firing") in receiver.delivered())
    assert [got.alerts for got in receiver.got] == [[("both", "firing")], [("next", "firing")]]


def test_rows_that_are_no_alerts_stop_nothing(
    s: Settings, receiver: Receiver, outbox: Client, feed: Callable[..., Feeder]
) -> None:
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    for poison in (b"", b"{", b"null", b'{"alert_id": 7}', b"\xff\xfe", None):
        producer.produce(s.alerts_topic, poison, key="poison")
    producer.flush(10)
    publish(s, {"alert_id": "fine"})
    feeder = feed()
    wait_for(lambda: receiver.delivered() == [("fine", "firing")])
    assert feeder.said("not an alert")
    wait_for(lambda: deliveries(outbox, "delivered"))


def test_a_webhook_that_is_down_for_a_while_gets_everything_in_order(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    receiver.stop()
    feed()
    raise_alerts(
        outbox,
        [
            {"alert_id": f"a{n}", "entity": f"e{n % 5}", "raised_time": time.time() - 1 + n / 1000, "status": status}
            for n in range(20)
            for status in ("firing", "resolved")
        ],
    )
    wait_for(lambda: deliveries(outbox, "retry"))
    time.sleep(20)  # the outage itself, not a wait for an effect
    receiver.start()
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 40)
    for entity in range(5):
        order = [alert for alert in receiver.delivered() if int(alert[0][1:]) % 5 == entity]
        wanted = [(f"a{n}", status) for n in range(entity, 20, 5) for status in ("firing", "resolved")]
        assert order == wanted
    assert not deliveries(outbox, "failed")


def test_a_feeder_killed_between_send_and_record_repeats_the_same_key(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    # The receiver accepts and then hangs before its answer: the feeder cannot know, and dies.
    receiver.script = lambda _got: time.sleep(1.5)  # type: ignore[func-returns-value]
    first = feed()
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: receiver.got)
    first.kill()
    receiver.script = None
    feed()
    wait_for(lambda: deliveries(outbox, "delivered"))
    assert len(receiver.got) == 2
    assert receiver.got[0].key == receiver.got[1].key
    assert receiver.delivered() == [("a1", "firing")]


def test_two_feeders_at_once_deliver_once_and_one_takes_over_from_the_other(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feeders = [feed(), feed()]
    raise_alerts(outbox, [{"alert_id": f"a{n}", "entity": f"e{n}"} for n in range(50)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 50)
    leader, standby = sorted(feeders, key=lambda feeder: not feeder.said("this feeder delivers"))
    assert leader.said("this feeder delivers")
    assert not standby.said("this feeder delivers")
    leader.kill()
    raise_alerts(outbox, [{"alert_id": f"b{n}", "entity": f"e{n}"} for n in range(50)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 100)
    assert len(receiver.got) == 100
    assert len(receiver.accepted) == 100


def test_a_feeder_that_slept_through_its_lease_sends_nothing_more(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    sleeper = feed()
    wait_for(lambda: sleeper.said("this feeder delivers"))
    sleeper.process.send_signal(signal.SIGSTOP)
    feed()
    raise_alerts(outbox, [{"alert_id": f"a{n}", "entity": f"e{n}"} for n in range(20)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 20)
    sleeper.process.send_signal(signal.SIGCONT)
    wait_for(lambda: sleeper.said("another feeder took over"))
    assert len(receiver.got) == 20


def test_sigterm_lets_the_attempt_under_way_end_and_hands_over_at_once(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    receiver.script = lambda _got: time.sleep(0.5)  # type: ignore[func-returns-value]
    feeder = feed()
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: receiver.got)
    assert feeder.stop() == 0
    assert deliveries(outbox, "delivered") == [("a1", "firing", "webhook", "delivered")]
    released = "SELECT max(released) FROM alert_feeder_beats WHERE epoch = (SELECT max(epoch) FROM alert_feeder_leases)"
    assert outbox.query(released).result_rows == [(1,)]


def test_a_storm_of_429_and_500_and_hanging_answers_loses_and_doubles_nothing(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    dice = random.Random(7)

    def script(_got: object) -> Response | None:
        number = dice.random()
        if number < 0.15:
            return Response("slow down", 429, {"retry-after": "0.05"})
        if number < 0.3:
            return Response("oops", 503)
        return hang_after(200) if number < 0.4 else None

    receiver.script = script
    routes = feed()
    raise_alerts(outbox, [{"alert_id": f"a{n}", "entity": f"e{n % 10}"} for n in range(60)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 60, 60)
    assert sorted(receiver.delivered()) == sorted((f"a{n}", "firing") for n in range(60))
    assert not routes.said("Traceback")


def test_a_refusal_is_final_and_raises_an_alert_of_its_own(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    receiver.script = lambda got: Response("no such hook", 404) if b'"a1"' in got.body else None
    feed()
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: deliveries(outbox, "failed") == [("a1", "firing", "webhook", "failed")])
    assert len(receiver.got) == 1
    (raised,) = wait_for(
        lambda: outbox.query("SELECT entity, summary, severity FROM alerts WHERE rule = 'delivery_failed'").result_rows
    )
    assert raised == ("channel:webhook", "channel webhook failed for good: no such hook", "critical")
    # There is no other channel: said on record rather than sent by the one that is broken.
    wait_for(lambda: [row for row in deliveries(outbox, "suppressed") if row[2] == ""])


def test_old_alerts_wake_nobody(outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]) -> None:
    raise_alerts(outbox, [{"alert_id": "old", "raised_time": time.time() - 7200}])
    feed(CHCTL_ALERTS_LOOKBACK_S="3600")
    raise_alerts(outbox, [{"alert_id": "new"}])
    wait_for(lambda: deliveries(outbox, "delivered"))
    assert receiver.delivered() == [("new", "firing")]


def test_a_private_address_is_not_reached_without_leave(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed(CHCTL_WEBHOOK_ALLOW_PRIVATE="")
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: deliveries(outbox, "failed"))
    assert receiver.got == []
