"""From pages to attempts: order per entity, bounded retries, and no channel in another's way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import msgspec
import structlog
from opentelemetry.trace import SpanKind, StatusCode

from chctl.tracing import alert_context, trace_id, tracer
from feeders.alerting.model import FINAL, Attempt, Outcome, Page, Result
from feeders.alerting.outbox import Recorder
from feeders.channels import Channel

log = structlog.get_logger()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How hard a channel tries. Times in seconds; `rate` in messages a second (0: no limit)."""

    max_attempts: int = 8
    give_up_after: float = 900.0
    backoff: float = 0.5
    backoff_max: float = 60.0
    concurrency: int = 8
    rate: float = 0.0

    def pause(self, attempt: int) -> float:
        """Seconds before the attempt after `attempt`: exponential with full jitter, at least half its ceiling.

        After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), "equal jitter".
        """
        ceiling = min(self.backoff_max, self.backoff * 2 ** max(0, attempt - 1))
        return ceiling * (0.5 + 0.5 * random.random())


class Lane:
    """One channel's deliveries: pages of one entity go one after the other, those of different entities side by side.

    While the channel refuses everybody (timeouts, 5xx, 429) the whole lane waits and one page probes, so that an outage
    does not burn the attempts of every page in the queue.
    """

    def __init__(
        self,
        channel: Channel,
        policy: Policy,
        recorder: Recorder,
        *,
        feeder: str,
        may_send: Callable[[], bool],
        on_attempt: Callable[[Page, Result], None],
    ) -> None:
        self.channel, self.policy, self.recorder = channel, policy, recorder
        self._feeder, self._may_send, self._on_attempt = feeder, may_send, on_attempt
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._tails: dict[str, asyncio.Task[None]] = {}
        self.tasks: set[asyncio.Task[None]] = set()  # pages submitted and not finished
        self._stopping = asyncio.Event()
        self._resume_at = 0.0  # monotonic; the lane is silent until then
        self._streak = 0  # retryable failures in a row, over all pages
        self._probing = False
        self._next_slot = 0.0  # monotonic; pacing by policy.rate

    def submit(self, page: Page) -> asyncio.Task[None]:
        """Queue a page behind the earlier ones of its entities. The task ends when the page is final and recorded."""
        entities = {alert.entity for alert in page.alerts}
        before = {self._tails[entity] for entity in entities if entity in self._tails}
        task = asyncio.create_task(self._deliver(page, before), name=f"{self.channel.name} {page.key}")
        self.tasks.add(task)
        for entity in entities:
            self._tails[entity] = task
        task.add_done_callback(lambda done: self._forget(done, entities))
        return task

    async def drain(self, timeout: float) -> None:
        """Start nothing new, let attempts under way end, close the channel; what is unfinished stays on record."""
        self._stopping.set()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=timeout)
        for task in self.tasks:
            task.cancel()
        await self.channel.close()

    def _forget(self, task: asyncio.Task[None], entities: set[str]) -> None:
        self.tasks.discard(task)
        for entity in entities:
            if self._tails.get(entity) is task:
                del self._tails[entity]
        if not task.cancelled() and (error := task.exception()):
            # A defect of ours: said aloud; the page has no final record, so the next sweep of a new holder has it.
            log.error("delivery stopped by a defect", channel=self.channel.name, exc_info=error)

    async def _deliver(self, page: Page, before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        started = time.monotonic()
        while not self._stopping.is_set():
            attempt = await self._attempt(page)
            if attempt is None:
                return
            result, recorded = attempt
            if result.outcome in FINAL:
                await recorded  # outside the slot: the record of one page holds up no other entity's
                return
            if page.attempt >= self.policy.max_attempts or time.monotonic() - started > self.policy.give_up_after:
                await self._record(page, "failed", Result(outcome="failed", error=f"gave up: {result.error}"), 0)
                return

    async def _attempt(self, page: Page) -> tuple[Result, asyncio.Future[list[None]]] | None:
        """One attempt when the lane lets it, with its record under way; None when the feeder stops first."""
        async with self._slots:
            if not await self._turn():
                return None
            probe = self._streak > 0
            self._probing = self._probing or probe
            try:
                return await self._send(page)
            finally:
                if probe:
                    self._probing = False

    async def _turn(self) -> bool:
        """Wait for back-off, lease, pacing and a probe under way; False when the feeder stops first."""
        while not self._stopping.is_set():
            now = time.monotonic()
            if not self._may_send():
                wait = 0.2
            elif now < self._resume_at:
                wait = self._resume_at - now
            elif self._streak and self._probing:
                wait = 0.05
            elif self.policy.rate and now < self._next_slot:
                wait = self._next_slot - now
            else:
                if self.policy.rate:
                    self._next_slot = max(now, self._next_slot) + 1 / self.policy.rate
                return True
            try:
                await asyncio.wait_for(self._stopping.wait(), wait)
            except TimeoutError:
                continue
        return False

    async def _send(self, page: Page) -> tuple[Result, asyncio.Future[list[None]]]:
        page.attempt += 1
        started = time.monotonic()
        with tracer().start_as_current_span(
            f"deliver {self.channel.name}",
            context=alert_context(page.alerts[0].alert_id),
            kind=SpanKind.CLIENT,
            attributes={"alert.id": page.alerts[0].alert_id, "alert.count": len(page.alerts), "attempt": page.attempt},
        ) as span:
            try:
                result = await self.channel.send(page)
            except Exception as error:  # a template or a channel is wrong: so it will be the next time
                log.exception("cannot make a message of an alert", channel=self.channel.name)
                result = Result(outcome="failed", error=f"{type(error).__name__}: {error}"[:500])
            span.set_attributes({"outcome": result.outcome, "http.response.status_code": result.http_status})
            if result.outcome != "delivered":
                span.set_status(StatusCode.ERROR, result.error)
        seconds = time.monotonic() - started
        if result.outcome == "retry":
            self._streak += 1
            pause = max(self.policy.pause(self._streak), min(result.retry_after or 0.0, 3600.0))
            self._resume_at = max(self._resume_at, time.monotonic() + pause)
        else:
            self._streak, self._resume_at = 0, 0.0
        self._on_attempt(page, result)
        return result, self._record(page, result.outcome, result, round(seconds * 1000))

    def _record(self, page: Page, outcome: Outcome, result: Result, latency_ms: int) -> asyncio.Future[list[None]]:
        return self.recorder.write(rows(page, outcome, feeder=self._feeder, result=result, latency_ms=latency_ms))


def rows(
    page: Page, outcome: Outcome, *, feeder: str, result: Result | None = None, latency_ms: int = 0
) -> list[Attempt]:
    """The rows of alert_deliveries for one page: one an alert in it."""
    now = time.time_ns() // 1_000_000
    return [
        Attempt(
            alert_id=alert.alert_id,
            status=alert.status,
            channel=page.channel,
            attempt=page.attempt,
            attempted_time=now,
            outcome=outcome,
            http_status=result.http_status if result else 0,
            error=result.error if result else "",
            idempotency_key=page.key,
            latency_ms=latency_ms,
            step=page.step,
            feeder=feeder,
            trace_id=trace_id(alert.alert_id),
        )
        for alert in page.alerts
    ]
