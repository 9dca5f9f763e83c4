"""`chctl replay`: a stretch of a topic is read again; nothing is counted twice and nothing old raises an alert."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.migrate import MigrateError, migrate
from chctl.rebuild import rebuild
from chctl.replay import Replayed, offsets, replay
from chctl.settings import Settings
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for

TABLES = """-- A stream, its stored rows and the alerts of a rule over them.
CREATE TABLE IF NOT EXISTS x_landing (id UInt64, event_time DateTime64(3, 'UTC')) ENGINE = Null;
CREATE TABLE IF NOT EXISTS events (id UInt64, event_time DateTime64(3, 'UTC')) ENGINE = ReplacingMergeTree ORDER BY id;
CREATE TABLE IF NOT EXISTS counts_1d (day Date, ids AggregateFunction(uniqExact, UInt64))
ENGINE = AggregatingMergeTree
ORDER BY day;
CREATE TABLE IF NOT EXISTS alerts (id UInt64) ENGINE = MergeTree ORDER BY id;
CREATE TABLE IF NOT EXISTS kafka_x (raw String)
ENGINE = Kafka(chctl_kafka)
SETTINGS
    kafka_topic_list = '{topic}',
    kafka_group_name = 'chctl.clickhouse.{topic}',
    kafka_format = 'LineAsString',
    kafka_flush_interval_ms = 100;
"""
VIEWS = {
    "x_landing_mv": "TO x_landing AS SELECT JSONExtractUInt(raw, 'id') AS id,"
    " fromUnixTimestamp64Milli(JSONExtractInt(raw, 't'), 'UTC') AS event_time FROM kafka_x",
    "events_mv": "TO events AS SELECT id, event_time FROM x_landing",
    "counts_1d_mv": "TO counts_1d AS SELECT toDate(event_time) AS day, uniqExactState(id) AS ids"
    " FROM x_landing GROUP BY day",
    "alert_x_mv": "TO alerts AS SELECT id FROM x_landing WHERE event_time > now() - 900",
}


@pytest.fixture
def reading(settings: Settings, topic: Callable[..., str], tmp_path: Path) -> tuple[Settings, str]:
    """A node that reads a topic of its own, and the topic's name."""
    name = topic("again", partitions=2)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001_create_events.sql").write_text(TABLES.format(topic=name))
    (tmp_path / "views").mkdir()
    for view, rest in VIEWS.items():
        (tmp_path / f"views/{view}.sql").write_text(f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} {rest}\n")
    settings = settings.model_copy(update={"project_dir": tmp_path})
    migrate(settings)
    return settings, name


def test_lost_rows_come_back_repeats_count_once_and_no_alert_is_raised(
    reading: tuple[Settings, str], client: Client
) -> None:
    settings, topic = reading
    hour_ago = int((time.time() - 3600) * 1000)
    began = datetime.now(UTC) - timedelta(minutes=1)
    producer = Producer({"bootstrap.servers": settings.kafka_brokers})
    for i in range(200):
        producer.produce(topic, f'{{"id": {i}, "t": {hour_ago}}}', partition=i % 2)
    producer.flush(20)
    wait_for(lambda: client.query("SELECT count() FROM events FINAL").result_rows == [(200,)])
    client.command("ALTER TABLE events DELETE WHERE id >= 100 SETTINGS mutations_sync = 2")

    result = replay(settings, topic, began)
    assert result.partitions == 2
    assert result.messages > 0
    assert client.query("SELECT count(), uniqExact(id) FROM events FINAL").result_rows == [(200, 200)]
    assert client.query("SELECT uniqExactMerge(ids) FROM counts_1d").result_rows == [(200,)]
    assert client.query("SELECT count() FROM alerts").result_rows == [(0,)]
    left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND endsWith(name, '__replay')"
    assert client.query(left).result_rows == [(0,)]


def test_an_unknown_topic_and_one_that_nobody_reads_are_refused(
    reading: tuple[Settings, str], topic: Callable[..., str]
) -> None:
    settings, _ = reading
    with pytest.raises(MigrateError, match=r"has no topic|does not answer"):
        replay(settings, "no_such_topic", datetime(2020, 1, 1, tzinfo=UTC))
    unread = topic("unread")
    producer = Producer({"bootstrap.servers": settings.kafka_brokers})
    producer.produce(unread, "{}")
    producer.flush(20)
    with pytest.raises(MigrateError, match=f"nothing on the node reads {unread}"):
        replay(settings, unread, datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.kafka
def test_a_stretch_is_found_by_message_time(apache_kafka: ApacheKafka) -> None:
    """Apache Kafka finds offsets by time; the embedded broker cannot, and its topics are read whole."""
    admin = AdminClient({"bootstrap.servers": apache_kafka.brokers})
    admin.create_topics([NewTopic("stretch", 1, 1)])["stretch"].result(10)
    producer = Producer({"bootstrap.servers": apache_kafka.brokers})
    base = int(time.time() * 1000) - 100_000
    for i in range(100):
        producer.produce("stretch", str(i), timestamp=base + 1000 * i)
    producer.flush(20)
    start = datetime.fromtimestamp((base + 20_000) / 1000, UTC)
    settings = Settings(kafka_brokers=apache_kafka.brokers)
    assert offsets(settings, "stretch", "g", start, start + timedelta(seconds=30)) == {0: (20, 50, False)}
    assert offsets(settings, "stretch", "g", start, start + timedelta(hours=1)) == {0: (20, 100, False)}
    assert offsets(settings, "stretch", "g", start + timedelta(hours=1), start + timedelta(hours=2)) == {}
    partition = TopicPartition("stretch", 0, 30)  # what retention does
    admin.delete_records([partition])[partition].result(10)
    assert offsets(settings, "stretch", "g", start, start + timedelta(seconds=30)) == {0: (30, 50, True)}
    later = start + timedelta(seconds=15)
    assert offsets(settings, "stretch", "g", later, start + timedelta(seconds=30)) == {0: (35, 50, False)}


def test_a_replay_that_begins_at_the_oldest_message_says_what_is_gone() -> None:
    result = Replayed("market_trades", 3, 1200, 0.5, [0, 2])
    assert str(result).splitlines() == [
        "market_trades: 1200 messages of 3 partitions in 0.5 s",
        "what was older is gone from partition 0, 2 (retention): restore it from a backup",
    ]


@pytest.mark.timeout(300)  # the whole schema is applied first
def test_the_real_rules_stay_quiet_about_what_is_old_and_raise_what_is_new_once(whole: Settings) -> None:
    """Large transfers of two hours ago and of now, read twice: those of now are one alert each."""
    now = time.time_ns() // 1_000_000
    began = datetime.now(UTC) - timedelta(minutes=1)
    producer = Producer({"bootstrap.servers": whole.kafka_brokers})
    for n in range(10):
        at = now - 7_200_000 if n < 8 else now
        row = {"event_id": f"replayed-{n}", "event_time": at, "receive_time": at * 1000, "user_id": 700_000 + n}
        row |= {"user_tier": "retail", "action": "deposit", "asset": "USDT", "amount": 5e9}
        producer.produce("user_actions", json.dumps(row).encode(), str(n).encode())
    producer.flush(20)
    raised = "SELECT entity, count() FROM alerts FINAL WHERE entity LIKE 'user:70000%' GROUP BY entity ORDER BY entity"
    expected = [("user:700008@USDT", 1), ("user:700009@USDT", 1)]
    with connect(whole) as client:
        wait_for(lambda: client.query(raised).result_rows == expected, 30, "the alerts")
        before = client.query("SELECT count() FROM user_transfers FINAL").result_rows
        assert replay(whole, "user_actions", began).messages >= 10
        assert client.query("SELECT count() FROM user_transfers FINAL").result_rows == before
        assert client.query(raised).result_rows == expected
    window = (datetime.fromtimestamp(now / 1000 - 7300, UTC), datetime.fromtimestamp(now / 1000 + 60, UTC))
    assert rebuild(whole, "transfers_1m", *window, check=True).different == 0
