"""Edits under traffic: every kind of view is changed 20 times while a known stream flows; then everything is counted.

The stream flows as fast as the node takes it: the producer keeps ahead of what is stored, and says how fast that was.
A row carries its number. In the table that keeps all rows each number has to stand exactly once, and the rollup has to
have counted each once; a lost row, a doubled row or a row computed with a missing dictionary would show.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.migrate import Report, migrate
from chctl.node.run import NodeProcess
from chctl.plan import read
from chctl.settings import Settings
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for

ROUNDS = 20
ROWS_A_MESSAGE = 50
PARTITIONS = 2
#: Rows that wait in the topic at any time, a second's work of the node: it never waits for the producer.
AHEAD = 200_000

MIGRATION = """-- Tables of the live-edit test.
CREATE TABLE IF NOT EXISTS events (id UInt64, version UInt16, limit UInt16, known UInt8)
ENGINE = MergeTree
ORDER BY id;
CREATE TABLE IF NOT EXISTS counts_1s
(
    bucket UInt64,
    ids AggregateFunction(uniqExact, UInt64),
    rows SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY bucket;
CREATE TABLE IF NOT EXISTS totals (n UInt64, version UInt16)
ENGINE = MergeTree
ORDER BY n;
CREATE TABLE IF NOT EXISTS versions (id UInt8, version UInt16)
ENGINE = MergeTree
ORDER BY id;
-- not idempotent: seeds the dictionary's source once
INSERT INTO versions SELECT 1, 1;
"""


def files(v: int, settings: Settings, topic: str) -> dict[str, str]:
    """Every kind of view in its v-th version."""
    note = ", note String DEFAULT ''" if v % 2 else ""
    extra = f",\n    {v} AS extra_{v}" if v in (5, 10) else ""
    return {
        "kafka_x": "CREATE TABLE IF NOT EXISTS kafka_x (raw String)\nENGINE = Kafka(chctl_kafka)\nSETTINGS\n"
        f"    kafka_topic_list = '{topic}',\n    kafka_group_name = 'chctl.clickhouse.{topic}',\n"
        "    kafka_format = 'LineAsString',\n    kafka_handle_error_mode = 'stream',\n"
        f"    kafka_flush_interval_ms = {100 + v // 100},\n    kafka_poll_timeout_ms = 50,\n"
        "    kafka_consumer_reschedule_ms = 10",
        "x_landing": f"CREATE TABLE IF NOT EXISTS x_landing (id UInt64, version UInt16{note}) ENGINE = Null",
        "x_landing_mv": "CREATE MATERIALIZED VIEW IF NOT EXISTS x_landing_mv TO x_landing AS\n"
        f"SELECT\n    JSONExtractUInt(raw, 'id') AS id,\n    toUInt16({v}) AS version\nFROM kafka_x",
        "events_mv": "CREATE MATERIALIZED VIEW IF NOT EXISTS events_mv TO events AS\n"
        "SELECT\n    id,\n    version,\n    dictGet('versions_dict', 'version', toUInt64(1)) AS limit,\n"
        f"    1 IN (SELECT a FROM known) AS known{extra}\nFROM x_landing\nWHERE {v} = {v}",
        "counts_1s_mv": "CREATE MATERIALIZED VIEW IF NOT EXISTS counts_1s_mv TO counts_1s AS\n"
        "SELECT\n    intDiv(id, 1000) AS bucket,\n    uniqExactState(id) AS ids,\n"
        f"    count() AS rows\nFROM x_landing\nWHERE {v} = {v}\nGROUP BY bucket",
        "known": f"CREATE VIEW IF NOT EXISTS known AS SELECT arrayJoin([1, {v + 1}]) AS a",
        "versions_dict": "CREATE DICTIONARY IF NOT EXISTS versions_dict (id UInt64, version UInt16)\nPRIMARY KEY id\n"
        f"SOURCE(CLICKHOUSE(QUERY 'SELECT id, version + {v} AS version"
        f" FROM {settings.clickhouse_database}.versions'))\n"
        "LIFETIME(0)\nLAYOUT(HASHED())",
        "totals_mv": "CREATE MATERIALIZED VIEW IF NOT EXISTS totals_mv REFRESH EVERY 1 HOUR TO totals AS\n"
        f"SELECT\n    count() AS n,\n    toUInt16({v}) AS version\nFROM events",
    }


class Traffic:
    """A thread that produces numbered rows as fast as the node takes them: `AHEAD` rows are always unread."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.produced = 0
        self.stored = 0
        self._settings, self._topic, self._stop = settings, topic, threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka_brokers, "enable.idempotence": True, "linger.ms": 5}
        )
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        seconds = time.monotonic() - self._began
        assert self._producer.flush(30) == 0
        print(f"{self.stored:,} rows were stored in {seconds:.0f} s: {self.stored / seconds:,.0f} rows/s")

    @property
    def unread(self) -> int:
        """Rows produced that the node has not stored yet."""
        return self.produced - self.stored

    def wait_until_ahead(self) -> None:
        """Wait until the node reads and has most of `AHEAD` before it: what is edited next is busy."""
        wait_for(lambda: self.stored and self.unread > AHEAD / 2)

    def _run(self) -> None:
        with connect(self._settings) as client:
            while not self._stop.is_set():
                self.stored = first(client, "SELECT count() FROM events")
                while self.unread < AHEAD:
                    self._produce()
                self._producer.poll(0)
                self._stop.wait(0.01)

    def _produce(self) -> None:
        lines = [f'{{"id":{self.produced + i}}}' for i in range(ROWS_A_MESSAGE)]
        partition = (self.produced // ROWS_A_MESSAGE) % PARTITIONS
        self._producer.produce(self._topic, "\n".join(lines), partition=partition)
        self.produced += ROWS_A_MESSAGE


def first(client: Client, sql: str) -> Any:
    """The first value of a query's first row."""
    return client.query(sql).result_rows[0][0]


def create_topic(brokers: str, name: str) -> None:
    """Create the stream's topic."""
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(10)


def start(settings: Settings, folder: Path, topic: str) -> Settings:
    """Apply the project in its first version; its settings."""
    settings = settings.model_copy(update={"project_dir": folder})
    (folder / "migrations").mkdir()
    (folder / "migrations/0001_create_events.sql").write_text(MIGRATION)
    (folder / "views").mkdir()
    write(settings, files(0, settings, topic))
    migrate(settings)
    return settings


def write(settings: Settings, changed: dict[str, str]) -> None:
    """Write files of views/."""
    for name, sql in changed.items():
        (settings.project_dir / "views" / f"{name}.sql").write_text(f"-- {name}\n{sql}\n")


def edit(settings: Settings, changed: dict[str, str]) -> Report:
    """Write files of views/ and migrate."""
    write(settings, changed)
    return migrate(settings)


def assert_every_row_once(client: Client, produced: int) -> None:
    """Each number from 0 to `produced` stands once in the table and was counted once by the rollup."""
    wait_for(lambda: first(client, "SELECT count() FROM events") >= produced, 120)
    wait_for(
        lambda: first(client, "SELECT sum(rows) FROM counts_1s") >= produced, 120
    )  # the views of a block run in turn
    (row,) = client.query(
        "SELECT count(), uniqExact(id), min(id), max(id), min(known), min(limit) > 0 FROM events"
    ).result_rows
    assert row == (produced, produced, 0, produced - 1, 1, 1)
    (rollup,) = client.query("SELECT uniqExactMerge(ids), sum(rows) FROM counts_1s").result_rows
    assert rollup == (produced, produced)


@pytest.mark.timeout(300)  # twenty runs of migrate under load
def test_every_kind_is_edited_20_times_under_traffic_and_every_row_counts_once(
    fresh_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = fresh_node()  # of its own: the embedded broker keeps all messages, some 20 million rows
    settings = start(node.settings(), tmp_path, "edits")
    create_topic(node.brokers, "edits")
    kinds: dict[str, int] = {}
    with connect(settings) as client, Traffic(settings, "edits") as traffic:
        for v in range(1, ROUNDS + 1):
            traffic.wait_until_ahead()
            changed = files(v, settings, "edits")
            remade = files(100 * (v // 10), settings, "edits")["kafka_x"]  # twice: the next test has the rest
            for change in edit(settings, changed | {"kafka_x": remade}).changes:
                kinds[change.kind] = kinds.get(change.kind, 0) + 1
            rows_flow_on(client)
    assert kinds.pop("kafka") == 2
    assert kinds == {"mv": 3 * ROUNDS, "view": ROUNDS, "dictionary": ROUNDS, "refreshable": ROUNDS, "null": ROUNDS}
    with connect(settings) as client:
        assert_every_row_once(client, traffic.produced)
        assert first(client, "SELECT uniqExact(version) FROM events") > ROUNDS / 2
        client.command("SYSTEM REFRESH VIEW totals_mv")
        wait_for(lambda: first(client, "SELECT max(n) FROM totals") == traffic.produced)
    assert read(settings).empty


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_a_kafka_table_is_made_anew_20_times_under_traffic_and_every_row_counts_once(
    apache_kafka: ApacheKafka, fresh_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = fresh_node(brokers=apache_kafka.brokers)
    settings = start(node.settings(), tmp_path, "remade")
    create_topic(apache_kafka.brokers, "remade")
    with connect(settings) as client, Traffic(settings, "remade") as traffic:
        for v in range(1, ROUNDS + 1):
            traffic.wait_until_ahead()
            kafka = files(100 * v, settings, "remade")["kafka_x"]
            assert [c.action for c in edit(settings, {"kafka_x": kafka}).changes] == ["recreate"]
            rows_flow_on(client)
    with connect(settings) as client:
        assert_every_row_once(client, traffic.produced)


def rows_flow_on(client: Client) -> None:
    """Rows keep arriving after an edit."""
    before = first(client, "SELECT count() FROM events")
    wait_for(lambda: first(client, "SELECT count() FROM events") > before)
