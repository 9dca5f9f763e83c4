"""How far consumer groups are behind, in messages and in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from chctl.kafka import client_config
from chctl.settings import Settings

TIMEOUT = 10.0
#: What a broker says while the group's coordinator moves or loads.
_MOVING = ("NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE")


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
    return [_read(s, group, topic) for group, topic in groups]


def _read(s: Settings, group: str, topic: str) -> Lag:
    consumer = _consumer(s, group)  # it asks and never subscribes: no member of the group
    try:
        known = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in known]
        unread: dict[int, int] = {}
        messages, never = 0, True
        for place in _committed(consumer, places):
            start, end = consumer.get_watermark_offsets(place, timeout=TIMEOUT, cached=False)
            never = never and place.offset < 0
            offset = max(place.offset, start)
            if end > offset:
                unread[place.partition] = offset
                messages += end - offset
    finally:
        consumer.close()
    return Lag(group, topic, messages, None if never else _oldest(s, topic, unread) if unread else 0.0)


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """The group's offsets. A broker that has just started answers NOT_COORDINATOR for a moment: ask again."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return consumer.committed(places, timeout=TIMEOUT)
        except KafkaException as error:
            if error.args[0].name() not in _MOVING or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _consumer(s: Settings, group: str) -> Consumer:
    options = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error"}
    return Consumer(client_config(s) | options | {"fetch.wait.max.ms": 20, "log_level": 0})


def _oldest(s: Settings, topic: str, unread: dict[int, int]) -> float | None:
    """Age in seconds of the oldest message at these offsets, read by partition and without joining a group."""
    consumer = _consumer(s, "chctl.doctor")
    oldest: int | None = None
    waiting = set(unread)
    try:
        consumer.assign([TopicPartition(topic, number, offset) for number, offset in unread.items()])
        deadline = time.monotonic() + 2.0
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or message.error() or message.partition() not in waiting:
                continue
            waiting.discard(message.partition() or 0)
            stamp = message.timestamp()[1]
            oldest = stamp if oldest is None else min(oldest, stamp)
    finally:
        consumer.close()
    return None if oldest is None else max(0.0, time.time() - oldest / 1000)
