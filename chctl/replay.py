"""`chctl replay`: read a stretch of a topic again, beside the live reader, through the same views.

A second Kafka table reads the topic in a consumer group of its own, whose offsets are set to the start; a copy of the
live table's view sends its rows down the same way. Both are dropped once the group has passed the end. Rows replace by
key and rollups ignore repeats, so what is there already stays as it is. The rules raise nothing for events older than
their parameter max_age_s: a replay of old rows is quiet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from chctl.clickhouse import connect
from chctl.kafka import client_config, consumer_config
from chctl.lock import Lock
from chctl.migrate import MigrateError
from chctl.node_state import live_objects, opened
from chctl.rebuild import substitute
from chctl.settings import Settings
from chctl.sqltext import ObjectDef

log = structlog.get_logger()

#: Seconds without progress after which a replay gives up.
STALL_S = 60.0


@dataclass
class Replayed:
    """What was read again."""

    topic: str
    partitions: int
    messages: int  # from the start offset to the end offset, over all partitions
    seconds: float
    cut: list[int]  # partitions whose window begins at the oldest message that the broker still holds

    def __str__(self) -> str:
        text = f"{self.topic}: {self.messages} messages of {self.partitions} partitions in {self.seconds:.1f} s"
        if self.cut:
            listed = ", ".join(map(str, self.cut))
            text += f"\nwhat was older is gone from partition {listed} (retention): restore it from a backup"
        return text


class Window(NamedTuple):
    """A stretch of one partition."""

    first: int  # offset of its first message
    stop: int  # offset after its last
    cut: bool = False  # the broker has deleted messages before `first`, perhaps some of the stretch


def replay(
    settings: Settings,
    topic: str,
    start: datetime,
    end: datetime | None = None,
    *,
    open_client: Callable[[], Client] | None = None,
) -> Replayed:
    """Read messages of `topic` with start <= message time < end (default: now) again; times are UTC.

    Raises MigrateError where the node does not read the topic, the window is empty, or nothing moves for `STALL_S`.
    """
    began = time.monotonic()
    database = settings.clickhouse_database
    opener = open_client or (lambda: connect(settings, database=""))
    group = f"chctl.replay.{topic}.{uuid4().hex[:8]}"
    window = offsets(settings, topic, group, start, end or datetime.now(UTC))
    messages = sum(part.stop - part.first for part in window.values())
    if not messages:
        raise MigrateError(f"{topic} holds no message between {start} and {end or 'now'}: see its retention")
    with opened(settings, opener) as client, Lock(opener, database).held(client, 60):
        reader, view = _reader(client, database, topic)
        table, copy = f"{reader.name}__replay", f"{view.name}__replay"
        _drop(client, copy, table)
        _start_at(settings, topic, group, window)
        try:
            group_now = reader.settings["kafka_group_name"]
            clause = reader.engine_clause.replace(f"'{group_now}'", f"'{group}'")
            columns = ", ".join(f"{name} {declaration}" for name, declaration in reader.columns)
            client.command(f"CREATE TABLE {table} ({columns}) ENGINE = {clause}")
            query = substitute(view.query, reader.name, table)
            client.command(f"CREATE MATERIALIZED VIEW {copy} TO {view.target} AS {query}")
            _wait(settings, topic, group, window)
        finally:
            _drop(client, copy, table)
    _forget(settings, group)
    cut = sorted(number for number, part in window.items() if part.cut)
    return Replayed(topic, len(window), messages, time.monotonic() - began, cut)


def _reader(client: Client, database: str, topic: str) -> tuple[ObjectDef, ObjectDef]:
    """The Kafka table that reads a topic and the one view on it."""
    live = live_objects(client, database)
    tables = [d for o in live.values() if o.engine == "Kafka" and (d := o.definition()).settings]
    views = [o.definition() for o in live.values() if o.engine == "MaterializedView"]
    for table in tables:
        if table.settings.get("kafka_topic_list") == topic:
            for view in views:
                if view.trigger == table.name:
                    return table, view
    raise MigrateError(f"nothing on the node reads {topic}: see `chctl status` and contracts/{topic}.yaml")


def _drop(client: Client, view: str, table: str) -> None:
    client.command(f"DROP VIEW IF EXISTS {view}")
    client.command(f"DROP TABLE IF EXISTS {table}")


def offsets(settings: Settings, topic: str, group: str, start: datetime, end: datetime) -> dict[int, Window]:
    """The window of each partition; empty ones are left out."""
    consumer = Consumer(consumer_config(settings, group))
    try:
        metadata = consumer.list_topics(topic, timeout=10).topics[topic]
        if metadata.error or not metadata.partitions:
            raise MigrateError(f"the broker has no topic {topic}")
        numbers = list(metadata.partitions)
        firsts, stops = (_at(consumer, topic, numbers, t) for t in (start, end))
        blind = max(_at(consumer, topic, numbers, end + timedelta(days=365)).values()) >= 0
        if blind:  # Tansu answers offset 0 for any time: read all it still holds, since repeats change nothing
            log.warning("the broker cannot find offsets by time: the whole topic is read", topic=topic)
        found = {}
        marks = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in numbers}
        if blind:
            marks = _ends(settings, topic, marks)
        for number, (low, high) in marks.items():
            first = low if blind else high if firsts[number] < 0 else firsts[number]
            stop = high if blind or stops[number] < 0 else stops[number]
            if stop > first:
                found[number] = Window(first, stop, cut=first == low > 0)
        return found
    except KafkaException as error:
        raise MigrateError(f"the broker does not answer: {error}") from error
    finally:
        consumer.close()


def _ends(settings: Settings, topic: str, marks: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Watermarks with the high ones where reading comes to an end: those of Tansu may trail by a batch."""
    consumer = Consumer(consumer_config(settings, f"chctl.replay.{topic}") | {"enable.partition.eof": True})
    ends, waiting, deadline = dict(marks), set(marks), time.monotonic() + 10
    try:
        consumer.assign([TopicPartition(topic, number, high) for number, (_, high) in marks.items()])
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None:
                continue
            number, offset = message.partition() or 0, message.offset() or 0
            if message.error():
                waiting.discard(number)
            else:
                ends[number] = (marks[number][0], max(ends[number][1], offset + 1))
    finally:
        consumer.close()
    return ends


def _at(consumer: Consumer, topic: str, partitions: list[int], moment: datetime) -> dict[int, int]:
    """Partition -> offset of the first message at `moment` or later, negative where there is none."""
    at_ms = int(_utc(moment).timestamp() * 1000)
    asked = [TopicPartition(topic, number, at_ms) for number in partitions]
    return {found.partition: found.offset for found in consumer.offsets_for_times(asked, timeout=10)}


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _start_at(settings: Settings, topic: str, group: str, window: dict[int, Window]) -> None:
    """Commit the first offsets for the new group, before anything reads in it."""
    consumer = Consumer(consumer_config(settings, group))
    try:
        commits = [TopicPartition(topic, number, part.first) for number, part in window.items()]
        consumer.commit(offsets=commits, asynchronous=False)
    finally:
        consumer.close()


def _wait(settings: Settings, topic: str, group: str, window: dict[int, Window]) -> None:
    """Wait until the group has passed the end of every partition. Raises MigrateError where nothing moves."""
    consumer = Consumer(consumer_config(settings, group))
    try:
        last, moved = -1, time.monotonic()
        while True:
            asked = [TopicPartition(topic, number) for number in window]
            committed = {p.partition: max(p.offset, 0) for p in consumer.committed(asked, timeout=10)}
            if all(committed[number] >= part.stop for number, part in window.items()):
                return
            if sum(committed.values()) != last:
                last, moved = sum(committed.values()), time.monotonic()
            if time.monotonic() - moved > STALL_S:
                raise MigrateError(f"{topic}: nothing was read for {STALL_S:.0f} s; committed {committed}")
            time.sleep(0.1)
    finally:
        consumer.close()


def _forget(settings: Settings, group: str) -> None:
    """Delete the consumer group; a broker that cannot lets it expire."""
    try:
        AdminClient(client_config(settings)).delete_consumer_groups([group])[group].result(3)
    except (KafkaException, TimeoutError) as error:
        log.info("the replay's consumer group stays until it expires", group=group, detail=str(error))
