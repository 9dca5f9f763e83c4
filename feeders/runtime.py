"""What every feeder needs to run unattended: publishing, metrics, readiness and watchdog, an orderly end.

Back-pressure: `Publisher.add` never blocks and never drops. Whoever reads from outside waits for `room()` (or
`wait_for_room()`) before reading more. When the broker is away and the buffer is full, reading stops, loudly, until
the broker has taken half of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from prometheus_client import Counter as Metric
from prometheus_client import Gauge, start_http_server

from chctl.kafka import consumer_config, producer_config
from chctl.settings import Settings

log = structlog.get_logger()

ROWS = Metric("chctl_feeder_rows_total", "Rows acknowledged by the broker.", ["topic"])
MESSAGES = Metric("chctl_feeder_messages_total", "Messages acknowledged by the broker.", ["topic"])
ERRORS = Metric("chctl_feeder_publish_errors_total", "Messages the broker refused.", ["topic"])
BUFFERED = Gauge("chctl_feeder_buffered_bytes", "Bytes of rows not yet acknowledged.")
BLOCKED = Gauge("chctl_feeder_blocked", "1 while reading stands still because the broker does not take rows.")

#: Rows of one flush and key are packed into messages of at most this many bytes; brokers refuse more than 1 MB.
PACK_BYTES = 256 * 1024


class PublishError(RuntimeError):
    """The broker refused rows for good; the feeder must stop rather than go on without them."""


class Publisher:
    """An idempotent producer that packs rows, counts what the broker acknowledged, and says when it is full.

    Rows are bytes without newline. Those added under one topic and key between two flushes leave as one message,
    separated by newlines, in the order in which they were added.
    """

    def __init__(
        self, settings: Settings, *, buffer_bytes: int = 64 << 20, config: dict[str, Any] | None = None
    ) -> None:
        self.limit = buffer_bytes
        # librdkafka must never be the one to say "full": it may hold all that we may hold.
        limits = {"queue.buffering.max.kbytes": max(buffer_bytes // 512, 65_536), "queue.buffering.max.messages": 0}
        self._producer = Producer(
            producer_config(settings) | limits | {"error_cb": self._on_error} | (config or {}),
        )
        self._packs: dict[tuple[str, bytes], list[bytes]] = {}
        self._sizes: Counter[tuple[str, bytes]] = Counter()
        self._changed = threading.Condition()
        self._outstanding = 0  # bytes added and not acknowledged
        self._in_flight = 0  # messages
        self._failure = ""
        self._blocked = False
        self._closed = False
        self.acknowledged: Counter[str] = Counter()  # topic -> rows
        self.added: Counter[str] = Counter()  # topic -> rows
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    # --- in

    def add(self, topic: str, key: str | bytes, row: bytes) -> None:
        """Take one row. Raises PublishError once the broker has refused rows for good."""
        if self._failure:
            raise PublishError(self._failure)
        pack = (topic, key if isinstance(key, bytes) else key.encode())
        size = len(row) + 1
        with self._changed:
            self._outstanding += size
        self.added[topic] += 1
        if self._sizes[pack] + size > PACK_BYTES and pack in self._packs:
            self._send(pack)
        self._packs.setdefault(pack, []).append(row)
        self._sizes[pack] += size

    def flush(self) -> None:
        """Hand everything that was added to the producer; does not wait for the broker."""
        for pack in list(self._packs):
            self._send(pack)
        BUFFERED.set(self._outstanding)

    def _send(self, pack: tuple[str, bytes]) -> None:
        rows = self._packs.pop(pack)
        self._sizes.pop(pack)
        topic, key = pack
        value = b"\n".join(rows)
        count, size = len(rows), len(value) + 1

        def delivered(error: KafkaError | None, _message: Message | None) -> None:
            with self._changed:
                self._outstanding -= size
                self._in_flight -= 1
                if error is None:
                    self.acknowledged[topic] += count
                else:
                    self._failure = self._failure or f"{topic}: {error.str()}"
                self._changed.notify_all()
            if error is None:
                ROWS.labels(topic).inc(count)
                MESSAGES.labels(topic).inc()
            else:
                ERRORS.labels(topic).inc()
                log.error("rows refused by the broker", topic=topic, rows=count, error=error.str())

        with self._changed:
            self._in_flight += 1
        try:
            while True:
                try:
                    self._producer.produce(topic, value, key, on_delivery=delivered)
                    return
                except BufferError:  # somebody added without asking for room: wait here rather than lose rows
                    self.full()
                    self._producer.poll(0.1)
        except KafkaException as error:  # no broker will ever take it
            delivered(error.args[0], None)
            raise PublishError(self._failure) from error

    def _poll(self) -> None:
        while not self._closed:
            self._producer.poll(0.1)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            with self._changed:
                self._failure = self._failure or error.str()
                self._changed.notify_all()
        log.warning("kafka", error=error.str(), fatal=error.fatal())

    # --- back-pressure

    @property
    def buffered(self) -> int:
        """Bytes added and not yet acknowledged."""
        return self._outstanding

    def full(self) -> bool:
        """Whether reading must stop: the buffer is full, or it was and is not yet half empty."""
        if self._failure:
            raise PublishError(self._failure)
        if self._outstanding >= self.limit and not self._blocked:
            self._blocked = True
            BLOCKED.set(1)
            log.error("the broker takes no rows: reading stops until it does", buffered_bytes=self._outstanding)
        elif self._blocked and self._outstanding <= self.limit // 2:
            self._blocked = False
            BLOCKED.set(0)
            log.warning("the broker takes rows again: reading goes on", buffered_bytes=self._outstanding)
        return self._blocked

    async def room(
        self, waiting: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Return when there is room for more, or when `stopped`.

        `waiting` is called meanwhile, to feed a watchdog: to stand still for the broker is not to hang.
        """
        if not self.full():
            return
        self.flush()
        while self.full() and not stopped():
            waiting()
            await asyncio.sleep(0.05)

    def wait_for_room(
        self, waiting: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """The same for feeders without an event loop; returns early when `stopped`."""
        if not self.full():
            return
        self.flush()
        while self.full() and not stopped():
            waiting()
            with self._changed:
                self._changed.wait(0.05)

    # --- out

    def drain(self, timeout: float | None = None) -> bool:
        """Flush, then wait until the broker has acknowledged every row; False if it has not in `timeout` seconds.

        Raises PublishError if it refused some.
        """
        self.flush()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._in_flight and not self._failure:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(min(left, 0.5) if left is not None else 0.5)
        if self._failure:
            raise PublishError(self._failure)
        return True

    def close(self, timeout: float = 10.0) -> int:
        """Drain and stop; the number of rows that were added and never acknowledged (0 when all is well)."""
        try:
            self.drain(timeout)
        except PublishError as error:
            log.error("publishing failed", error=str(error))
        self._closed = True
        self._poller.join(2)
        lost = sum(self.added.values()) - sum(self.acknowledged.values())
        if lost:
            log.error("rows not delivered", rows=lost)
            self._producer.purge()
        return lost


class Reader:
    """A consumer that commits only what is safe.

    `read` hands out messages; `commit` says that everything handed out so far has reached where it was going (after
    `Publisher.drain`, say). `before_revoke` is called before a partition goes to another member: make what was read
    safe there and call `commit`, so that the next owner starts where this one ended. What was read and not committed
    is read again.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Iterable[str],
        *,
        before_revoke: Callable[[], None] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self._before_revoke = before_revoke
        self._positions: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(
            consumer_config(settings, group) | {"enable.auto.offset.store": False} | (config or {})
        )
        self.assigned: set[tuple[str, int]] = set()
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def read(self, limit: int = 500, timeout: float = 0.2) -> list[Message]:
        """Up to `limit` messages; empty after `timeout` seconds without any. Raises KafkaException on fatal errors."""
        messages = []
        for message in self._consumer.consume(limit, timeout):
            error = message.error()
            if error is None:
                place = message.topic() or "", message.partition() or 0
                self._positions[place] = (message.offset() or 0) + 1
                messages.append(message)
            elif error.fatal():
                raise KafkaException(error)
            else:
                log.warning("kafka", error=error.str())
        return messages

    def commit(self, positions: dict[tuple[str, int], int] | None = None) -> None:
        """All that `read` handed out is safe, or only what stands before `positions` ((topic, partition): offset)."""
        if positions is None:
            positions, self._positions = self._positions, {}
        offsets = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in positions.items()
            if (topic, partition) in self.assigned
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=False)

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned |= {(p.topic, p.partition) for p in partitions}
        log.info("partitions assigned", partitions=[f"{p.topic}/{p.partition}" for p in partitions])

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._before_revoke:
            self._before_revoke()
        self._forget(partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Another member owns them already: committing now would move its offsets.
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self.assigned.discard((p.topic, p.partition))
            self._positions.pop((p.topic, p.partition), None)
        log.info("partitions gone", partitions=[f"{p.topic}/{p.partition}" for p in partitions])

    def close(self) -> None:
        """Leave the group; what was not committed will be read by whoever comes next."""
        self._consumer.close()


class Supervisor:
    """systemd's notification protocol (sd_notify(3)): READY, WATCHDOG, STOPPING. Does nothing outside systemd.

    `progress()` says that something real happened. The watchdog is fed only if it was called since the last time, so
    that a feeder that hangs is restarted even if a timer of it still ticks.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
        mine = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self._every = watchdog / 2e6 if watchdog and mine else 0.0
        self._fed = 0.0

    @property
    def every(self) -> float:
        """Seconds in which the watchdog wants to be fed; 0 without one."""
        return self._every

    def notify(self, *states: str) -> None:
        """Send states such as `READY=1`, `STATUS=...`."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(states).encode(), address)
        except OSError as error:  # a supervisor that is gone must not take the feed with it
            log.warning("sd_notify failed", error=str(error))

    def ready(self, status: str = "") -> None:
        """The feeder does its work from now on."""
        self.notify("READY=1", *([f"STATUS={status}"] if status else []))

    def progress(self) -> None:
        """Something real happened: feed the watchdog, at most twice in its period."""
        if self._every and (now := time.monotonic()) - self._fed >= self._every / 2:
            self._fed = now
            self.notify("WATCHDOG=1")

    def stopping(self) -> None:
        """The feeder is about to end, in order."""
        self.notify("STOPPING=1")


@dataclass
class Stop:
    """Set by SIGTERM and SIGINT; a second signal ends the process the hard way."""

    event: threading.Event = field(default_factory=threading.Event)
    _callbacks: deque[Callable[[], None]] = field(default_factory=deque)

    def install(self) -> Stop:
        """Listen to the signals (main thread only)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)
        return self

    def _signal(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.set()

    def set(self) -> None:
        """Ask for the end."""
        self.event.set()
        for callback in self._callbacks:
            callback()

    def __call__(self) -> bool:
        """Whether the end was asked for."""
        return self.event.is_set()

    def on_set(self, callback: Callable[[], None]) -> None:
        """Call back when the end is asked for (from a signal handler: only what is safe there)."""
        self._callbacks.append(callback)

    async def wait(self) -> None:
        """Return when the end is asked for."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(done.set)

        self.on_set(wake)
        if not self():
            await done.wait()


def serve_metrics(settings: Settings) -> Callable[[], None]:
    """Start the Prometheus endpoint if the settings name a port; the function returned ends it."""
    if not settings.metrics_port:
        return lambda: None
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(2)

    return close
