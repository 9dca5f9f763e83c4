"""How far consumer groups are behind, in messages and in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from chctl.kafka import admin_client, client_config
from chctl.settings import Settings

TIMEOUT = 10.0
Place = tuple[str, int]


@dataclass(frozen=True)
class Lag:
    """What one group has not read of one topic. `seconds`: age of its oldest unread message, None where it cannot be
    told: the group has committed nothing yet, or the message is gone."""

    group: str
    topic: str
    messages: int
    seconds: float | None


def read(s: Settings, groups: Iterable[tuple[str, str]]) -> list[Lag]:
    """One row a (group, topic), in that order. Raises KafkaException where the broker does not answer."""
    wanted = list(groups)
    admin = admin_client(s)
    listed = admin.list_topics(timeout=TIMEOUT).topics
    places = [
        (topic, number) for topic in {t for _, t in wanted} if topic in listed for number in listed[topic].partitions
    ]
    ends, starts = _offsets(admin, places, OffsetSpec.latest()), _offsets(admin, places, OffsetSpec.earliest())
    found = []
    for group, topic in wanted:
        committed = _committed(admin, group)
        mine = {place: committed.get(place, -1) for place in places if place[0] == topic}
        behind = {place: ends[place] - max(offset, starts[place]) for place, offset in mine.items()}
        unread = {place: max(mine[place], starts[place]) for place, count in behind.items() if count > 0}
        never = all(offset < 0 for offset in mine.values())
        seconds = None if never else _oldest(s, unread) if unread else 0.0
        found.append(Lag(group, topic, sum(count for count in behind.values() if count > 0), seconds))
    return found


def _offsets(admin: AdminClient, places: Iterable[Place], spec: OffsetSpec) -> dict[Place, int]:
    request = {TopicPartition(topic, number): spec for topic, number in places}
    if not request:
        return {}
    answers = admin.list_offsets(request, request_timeout=TIMEOUT)
    return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}


def _committed(admin: AdminClient, group: str) -> dict[Place, int]:
    request = [ConsumerGroupTopicPartitions(group)]
    answer = admin.list_consumer_group_offsets(request, request_timeout=TIMEOUT)[group].result()
    return {(str(p.topic), p.partition): p.offset for p in answer.topic_partitions or [] if p.error is None}


def _oldest(s: Settings, unread: dict[Place, int]) -> float | None:
    """Age in seconds of the oldest message at these places, which are read without joining the group."""
    options = {"group.id": "chctl.doctor", "enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = Consumer(client_config(s) | options | {"fetch.wait.max.ms": 20, "log_level": 0})
    oldest: int | None = None
    waiting = set(unread)
    try:
        consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in unread.items()])
        deadline = time.monotonic() + 2.0
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            place = message and (message.topic(), message.partition())
            if message is None or message.error() or place not in waiting:
                continue
            waiting.discard(place)
            stamp = message.timestamp()[1]
            oldest = stamp if oldest is None else min(oldest, stamp)
    finally:
        consumer.close()
    return None if oldest is None else max(0.0, time.time() - oldest / 1000)
