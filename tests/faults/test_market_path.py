"""Faults on the market's path: whatever dies or repeats, produced = stored + rejected and rollup = rebuild."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from chctl.clickhouse import connect
from chctl.demo.incident import PulledDepth
from chctl.demo.run import end_soon
from chctl.kafka import client_config
from chctl.node import broker, drain
from chctl.settings import Settings
from feeders.replay import recording
from tests.e2e.market_kit import SPOT, assert_whole, first, normalized, play, publish, settled, state
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for
from tests.whole import Start


class Playing(threading.Thread):
    """A minute of the recording in ten seconds, while the test breaks things."""

    def __init__(self, settings: Settings, captures: Path) -> None:
        super().__init__(daemon=True)
        self.produced: Counter[str] = Counter()
        self._settings, self._captures = settings, captures
        self.start()

    def run(self) -> None:
        self.produced = play(self._settings, self._captures, seconds=60, speed=6)

    def end(self) -> Counter[str]:
        self.join(90)
        assert not self.is_alive()
        assert self.produced
        return self.produced


def stored(settings: Settings) -> int:
    with connect(settings) as client:
        return int(client.command("SELECT count() FROM trades"))  # type: ignore[arg-type]


def test_the_same_capture_sent_twice_changes_no_count(whole_node: Start, captures: Path) -> None:
    settings = whole_node().settings()
    ends = datetime.now(UTC)
    rows = normalized(PulledDepth(60)(first(110, recording(captures / SPOT, "BTCUSDT"))), ends)
    produced = publish(settings, rows)
    once = state(settings, produced)
    assert_whole(once)
    assert [status for _, status in once.alerts] == ["firing"]

    publish(settings, rows)
    wait_for(lambda: not drain.unread(settings.kafka_brokers, timeout=5).keys() & produced.keys())
    assert state(settings, produced) == once

    with connect(settings) as client:  # the drop was 45 s before the end of the capture: it is over if eight are enough
        end_soon(client)
    for row in [row for row in rows if row.topic == "market_l2"][-3:]:  # and three blocks say that it has come so far
        publish(settings, [row])
        wait_for(lambda: not drain.unread(settings.kafka_brokers, timeout=5).keys() & produced.keys())
    (fired,) = once.alerts
    wait_for(lambda: state(settings, produced).alerts == [(fired[0], "firing"), (fired[0], "resolved")])


def test_poison_is_rejected_with_its_reason_and_stops_nothing(whole_node: Start) -> None:
    settings = whole_node().settings()
    trade = (
        '{"venue":"x","symbol":"Y","trade_id":%d,"event_time":%d,"receive_time":%d,'
        '"price":1.5,"quantity":2,"side":"BUY","taker":true,"order_id":0}'
    )
    now = int(time.time() * 1000)
    good = [trade % (number, now, now * 1000) for number in range(4)]
    poison = {b"\x00\xff\xfe": "not a JSON object", b'{"venue":': "not a JSON object", b"[1]": "not a JSON object"}
    producer = Producer(client_config(settings))
    for value in poison:
        producer.produce("market_trades", value, "x:Y")
    packed = "\n".join([good[0], good[1].replace("1.5", "null"), good[2], good[3].replace("BUY", "HODL")])
    producer.produce("market_trades", packed.encode(), "x:Y")
    assert producer.flush(20) == 0
    with connect(settings) as client:
        (_, trades) = settled(client, Counter({"market_trades": 7}))
        assert (trades.stored, trades.rejected) == (2, 5)
        reasons = client.query("SELECT reason, count() FROM rejected_events FINAL GROUP BY reason ORDER BY reason")
        assert dict(reasons.result_rows) == {
            "not a JSON object": 3,
            "price: missing": 1,
            "side: not one of BUY, SELL": 1,
        }


def test_the_node_is_killed_in_the_middle_and_comes_back(whole_node: Start, captures: Path) -> None:
    node = whole_node()
    settings = node.settings()
    playing = Playing(settings, captures)
    wait_for(lambda: stored(settings) > 200)
    node.kill()
    again = whole_node()
    assert_whole(state(again.settings(), playing.end()))


def test_the_broker_stands_still_for_a_while(whole_node: Start, captures: Path) -> None:
    node = whole_node()
    settings = node.settings()
    running = broker.find(node.data_dir)
    assert running is not None
    playing = Playing(settings, captures)
    wait_for(lambda: stored(settings) > 200)
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(8)  # longer than the consumers' session
    os.kill(running.pid, signal.SIGCONT)
    assert_whole(state(settings, playing.end()))


@pytest.mark.kafka
def test_on_apache_kafka_the_recording_arrives_whole_and_the_incident_is_noticed_once(
    whole_node: Start, apache_kafka: ApacheKafka, captures: Path
) -> None:
    node = whole_node(brokers=apache_kafka.brokers)
    settings = node.settings()
    events = recording(captures / SPOT, "BTCUSDT")
    produced = publish(settings, normalized(PulledDepth(120)(events), datetime.now(UTC)))
    assert produced["market_trades"] == 9757
    found = state(settings, produced)
    assert_whole(found)
    assert [status for _, status in found.alerts] == ["firing"]
    node.stop()  # commits and leaves the group, which the next test's node joins


@pytest.mark.kafka
def test_apache_kafka_is_killed_and_started_under_load(
    whole_node: Start, apache_kafka: ApacheKafka, captures: Path
) -> None:
    settings = whole_node(brokers=apache_kafka.brokers).settings()
    before = stored(settings)
    playing = Playing(settings, captures)
    wait_for(lambda: stored(settings) > before + 200)
    apache_kafka.kill()
    time.sleep(3)
    apache_kafka.start()
    assert_whole(state(settings, playing.end()))
