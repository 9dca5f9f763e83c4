"""A Kafka producer for asyncio: a future a message, resolved when the broker has it; full means full.

confluent_kafka's own AIOProducer collects messages for a second in a list without a bound; this one hands each message
to librdkafka at once and lets librdkafka's bounded queue say when to stop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer


class AsyncProducer:
    """Wraps a librdkafka producer; `send` from the event loop's thread only."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(config)
        self._done: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._wakeup_pending = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-delivery", daemon=True)
        self._thread.start()

    def send(self, topic: str, key: bytes, value: bytes) -> asyncio.Future[None]:
        """Queue one message; the future ends when the broker has acknowledged it, or with KafkaException.

        Raises BufferError where librdkafka's queue is full: the caller refuses the work instead of keeping it.
        """
        future: asyncio.Future[None] = self._loop.create_future()

        def delivered(error: KafkaError | None, _: Message) -> None:
            self._done.append((future, error))
            if not self._wakeup_pending:
                self._wakeup_pending = True
                self._loop.call_soon_threadsafe(self._resolve)

        self._producer.produce(topic, value, key, on_delivery=delivered)
        return future

    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        return len(self._producer)

    async def close(self, timeout: float) -> int:
        """Wait up to `timeout` seconds for the queue to drain; return how many messages were left in it."""
        left = await asyncio.to_thread(self._producer.flush, timeout)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        self._resolve()
        return left

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)

    def _resolve(self) -> None:
        # Cleared before the queue is read: a delivery that comes after this line wakes the loop again.
        self._wakeup_pending = False
        while self._done:
            future, error = self._done.popleft()
            if future.done():  # its request stopped waiting
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(KafkaException(error))
