"""Reads the topic `alerts` in a thread: the fast path from the outbox to the feeder, never the only one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from feeders.alerting.model import Alert

log = structlog.get_logger()

_decode = msgspec.json.Decoder(Alert).decode


def parse(value: bytes | None) -> tuple[list[Alert], list[str]]:
    """The alerts of one message (JSON rows, newline-packed) and what was wrong with the rows that are none.

    A null value is a tombstone of compaction and holds nothing.
    """
    alerts: list[Alert] = []
    errors: list[str] = []
    for line in (value or b"").splitlines():
        if not line.strip():
            continue
        try:
            alerts.append(_decode(line))
        except msgspec.MsgspecError as error:
            errors.append(f"{error}: {line[:200]!r}")
    return alerts, errors


class Batch(msgspec.Struct, kw_only=True):
    """Alerts of one poll. `done` once all are final and recorded: only then may `offsets` be committed."""

    alerts: list[Alert]
    offsets: list[TopicPartition]
    done: bool = False


class TopicReader:
    """A consumer thread: hands batches to the event loop, commits a batch once it and all before it are done."""

    def __init__(self, config: dict[str, Any], topic: str, on_batch: Callable[[Batch], None]) -> None:
        self._config = config | {
            "error_cb": self._on_error,
            "log_level": 0,  # librdkafka's own log repeats what error_cb gets
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": 5000,
            "reconnect.backoff.max.ms": 1000,  # the broker is back: be there within a second
        }
        self._topic, self._on_batch = topic, on_batch
        self._loop = asyncio.get_running_loop()
        self._open: deque[Batch] = deque()
        self._stop = threading.Event()
        self._complained = float("-inf")
        self._thread = threading.Thread(target=self._run, name="alerts-topic", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)

    def _run(self) -> None:
        consumer = Consumer(self._config)
        consumer.subscribe([self._topic])
        try:
            while not self._stop.is_set():
                if (first := consumer.poll(0.1)) is not None:
                    self._take([first, *consumer.consume(999, 0)])
                self._commit(consumer)
        finally:
            self._commit(consumer)
            consumer.close()

    def _take(self, messages: list[Message]) -> None:
        alerts: list[Alert] = []
        offsets: dict[tuple[str, int], int] = {}
        for message in messages:
            if error := message.error():
                log.warning("alerts topic", error=str(error))
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            found, errors = parse(message.value())
            alerts.extend(found)
            for text in errors:
                log.error("not an alert", topic=topic, partition=partition, offset=offset, error=text)
            offsets[topic, partition] = offset + 1
        if offsets:
            batch = Batch(alerts=alerts, offsets=[TopicPartition(*where, offset) for where, offset in offsets.items()])
            self._open.append(batch)
            self._loop.call_soon_threadsafe(self._on_batch, batch)

    def _commit(self, consumer: Consumer) -> None:
        """Commit the batches that are done, up to the first that is not; a later commit makes good for a failed one."""
        offsets: list[TopicPartition] = []
        while self._open and self._open[0].done:
            offsets += self._open.popleft().offsets
        if offsets:
            try:
                consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as error:
                log.warning("commit failed; the alerts are read again and recognised", error=str(error))

    def _on_error(self, error: KafkaError) -> None:
        if time.monotonic() - self._complained > 10:  # once per outage and now and then, not at every reconnect
            self._complained = time.monotonic()
            log.warning("the broker is away; going by the outbox", error=str(error))
