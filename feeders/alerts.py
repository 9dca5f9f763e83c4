"""The alert feeder: takes alerts from the topic and the outbox, tells the channels, records every attempt.

The topic is for speed, the outbox for certainty: every batch from the topic and every second look into the table
`alerts` for what has no record in `alert_deliveries`, and both are put in order together. One feeder delivers at a
time (feeders/alerting/lease.py); a term begins with what the last one left unfinished. Delivery is at least once, and
every repetition carries the same idempotency key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import structlog
from clickhouse_connect.driver.exceptions import Error
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from chctl import clickhouse, kafka, logs
from chctl.settings import Settings
from feeders.alerting.dispatch import Lane, Policy, rows
from feeders.alerting.egress import Egress
from feeders.alerting.lease import Lease
from feeders.alerting.model import Alert, Attempt, Page, Result
from feeders.alerting.outbox import Outbox, Recorder
from feeders.alerting.topic import Batch, TopicReader
from feeders.channels import Channel
from feeders.channels.webhook import Webhook

log = structlog.get_logger()

TOPIC = "alerts"
GROUP = "chctl.alerts.alerts"

ATTEMPTS = Counter("chctl_alert_attempts_total", "Attempts to deliver an alert.", ["channel", "outcome"])
LATENCY = Histogram(
    "chctl_alert_delivery_seconds",
    "From the row in the outbox to its acceptance by a channel.",
    ["channel"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
)
PENDING = Gauge("chctl_alert_pages_pending", "Pages submitted and not finished.", ["channel"])
LEADING = Gauge("chctl_alert_feeder_leading", "1 while this feeder holds the lease.")

#: (channel name to channel and policy): what a feeder can reach.
Channels = Mapping[str, tuple[Channel, Policy]]
#: The channels an alert goes to.
Route = Callable[[Alert], Iterable[str]]


class Term:
    """One holding of the lease: begins with what is unfinished on record, forgets everything at its end."""

    def __init__(
        self,
        s: Settings,
        channels: Channels,
        route: Route,
        recorder: Recorder,
        owner: str,
        may_send: Callable[[], bool],
    ) -> None:
        self._s, self._route, self._recorder, self._owner = s, route, recorder, owner
        self._lanes = {
            name: Lane(channel, policy, recorder, feeder=owner, may_send=may_send, on_attempt=_measure)
            for name, (channel, policy) in channels.items()
        }
        for name, lane in self._lanes.items():
            PENDING.labels(name).set_function(partial(len, lane.tasks))
        self._seen: dict[tuple[str, str], int] = {}  # key to raised_time, so that it can be forgotten in time
        self._batches: list[Batch] = []
        self._wake = asyncio.Event()
        self._outbox: Outbox | None = None

    async def run(self) -> None:
        """Until cancelled."""
        await self._retrying(self._recover)
        reader = TopicReader(kafka.consumer_config(self._s, GROUP), TOPIC, self._on_batch)
        reader.start()
        try:
            while True:
                await self._round()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._s.alerts_sweep_s)
        finally:
            await reader.close()

    async def close(self, timeout: float) -> None:
        """Let attempts under way end within `timeout` seconds; what is unfinished stays on record as queued."""
        await asyncio.gather(*(lane.drain(timeout) for lane in self._lanes.values()))

    def _on_batch(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._wake.set()

    async def _round(self) -> None:
        """Take on what the topic brought and what the outbox holds besides, in the order in which it was raised."""
        self._wake.clear()
        batches, self._batches = self._batches, []
        try:
            found = await asyncio.to_thread(lambda: self._reads().unseen())
        except (Error, OSError) as error:
            log.warning("cannot sweep the outbox; going by the topic alone", error=str(error)[:300])
            self._outbox, found = None, []
        oldest = int((time.time() - self._s.alerts_lookback_s) * 1000)
        alerts = {alert.key: alert for alert in [*(a for batch in batches for a in batch.alerts), *found]}
        fresh = sorted(
            (alert for alert in alerts.values() if alert.key not in self._seen and alert.raised_time > oldest),
            key=lambda alert: alert.order,
        )
        tasks = await self._take_on(fresh)
        for batch in batches:
            # An alert of an earlier batch needs no wait here: that batch is committed first.
            mine = [task for alert in batch.alerts for task in tasks.get(alert.key, [])]
            _when_all(mine, batch)
        if len(self._seen) > 100_000:
            self._seen = {key: raised for key, raised in self._seen.items() if raised > oldest}

    async def _take_on(self, alerts: list[Alert]) -> dict[tuple[str, str], list[asyncio.Task[None]]]:
        """Plan the pages of new alerts, put the plan on record, then submit it."""
        pages: list[Page] = []
        plan: list[Attempt] = []
        for alert in alerts:
            self._seen[alert.key] = alert.raised_time
            names = [name for name in self._route(alert) if name in self._lanes]
            if not names:
                silent = Page(channel="", alerts=(alert,))
                plan += rows(
                    silent, "suppressed", feeder=self._owner, result=Result(outcome="failed", error="no route")
                )
            pages += [Page(channel=name, alerts=(alert,)) for name in names]
        plan += [row for page in pages for row in rows(page, "queued", feeder=self._owner)]
        if plan:
            # A node that does not answer delays no page: after a second the record follows the page.
            await asyncio.wait([self._recorder.write(plan)], timeout=1.0)
        tasks: dict[tuple[str, str], list[asyncio.Task[None]]] = {}
        for page in pages:
            task = self._lanes[page.channel].submit(page)
            for alert in page.alerts:
                tasks.setdefault(alert.key, []).append(task)
        return tasks

    def _recover(self) -> tuple[list[Page], list[tuple[str, str]]]:
        outbox = self._reads()
        progress = outbox.progress()
        alerts = {alert.key: alert for alert in outbox.unfinished()}
        unfinished: dict[tuple[str, str, int], list[Alert]] = {}
        attempts: dict[str, int] = {}
        for row in progress:
            alert = alerts.get((row.alert_id, row.status))
            if row.is_final or alert is None:
                continue
            unfinished.setdefault((row.idempotency_key, row.channel, row.step), []).append(alert)
            attempts[row.idempotency_key] = max(row.attempts, attempts.get(row.idempotency_key, 0))
        pages = [
            Page(
                channel=channel,
                alerts=tuple(sorted(of, key=lambda a: a.order)),
                step=step,
                key=key,
                attempt=attempts[key],
            )
            for (key, channel, step), of in unfinished.items()
        ]
        return pages, [(row.alert_id, row.status) for row in progress]

    async def _retrying(self, recover: Callable[[], tuple[list[Page], list[tuple[str, str]]]]) -> None:
        while True:
            try:
                pages, seen = await asyncio.to_thread(recover)
                break
            except (Error, OSError) as error:
                log.warning("cannot read what is unfinished yet", error=str(error)[:300])
                self._outbox = None
                await asyncio.sleep(0.5)
        now = int(time.time() * 1000)
        self._seen.update((key, now) for key in seen)
        for page in sorted(pages, key=lambda page: page.alerts[0].order):
            if page.channel in self._lanes:
                self._lanes[page.channel].submit(page)
        if pages:
            log.info("going on with unfinished pages", count=len(pages))

    def _reads(self) -> Outbox:
        self._outbox = self._outbox or Outbox(clickhouse.connect(self._s), self._s.alerts_lookback_s)
        return self._outbox


class Feeder:
    """Holds the lease or stands by for it; runs a Term while it holds it."""

    def __init__(self, s: Settings, channels: Channels, route: Route) -> None:
        self._s, self._channels, self._route = s, channels, route
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{int(time.time() * 1000)}"
        self._recorder = Recorder(lambda: clickhouse.connect(s))
        self._lease: Lease | None = None
        self._node_away = False

    def may_send(self) -> bool:
        """Whether an attempt may start now.

        With the lease run out because the node is away, the holder goes on: nobody can take a lease from a database
        that is down, and should only our own path to it be cut, the worst is a repeated idempotency key.
        """
        return self._lease is not None and (self._lease.held or (self._lease.epoch > 0 and self._node_away))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then drains within CHCTL_ALERTS_DRAIN_S and gives the lease back."""
        self._recorder.start()
        while not stop.is_set():
            if await self._hold():
                await self._term(stop)
            await _pause(stop, min(1.0, self._s.alerts_lease_s / 5))
        await self._recorder.close(5.0)
        if self._lease:
            with contextlib.suppress(Error, OSError):
                await asyncio.to_thread(self._lease.release)

    async def _term(self, stop: asyncio.Event) -> None:
        log.info("this feeder delivers", owner=self.owner)
        LEADING.set(1)
        term = Term(self._s, self._channels, self._route, self._recorder, self.owner, self.may_send)
        running = asyncio.create_task(term.run(), name="term")
        epoch = self._lease.epoch if self._lease else 0
        try:
            while not stop.is_set() and not running.done():
                await _pause(stop, self._s.alerts_lease_s / 3)
                held = await self._hold()
                # A lease lost and won again is a new term: somebody else may have delivered in between.
                if (not held and not self._node_away) or (self._lease and self._lease.epoch != epoch):
                    log.warning("another feeder took over; standing by", owner=self.owner)
                    break
        finally:
            LEADING.set(0)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError:
                pass
            finally:
                await term.close(self._s.alerts_drain_s if stop.is_set() else 0.0)

    async def _hold(self) -> bool:
        try:
            held = await asyncio.to_thread(self._acquire)
            self._node_away = False
            return held
        except (Error, OSError) as error:
            log.warning("cannot reach the node about the lease", error=str(error)[:300])
            self._node_away = True
            return False

    def _acquire(self) -> bool:
        self._lease = self._lease or Lease(clickhouse.connect(self._s), self.owner, ttl=self._s.alerts_lease_s)
        return self._lease.acquire()


def _measure(page: Page, result: Result) -> None:
    ATTEMPTS.labels(page.channel, result.outcome).inc(len(page.alerts))
    if result.outcome == "delivered":
        for alert in page.alerts:
            LATENCY.labels(page.channel).observe(max(0.0, time.time() - alert.raised_time / 1000))


def _when_all(tasks: list[asyncio.Task[Any]], batch: Batch) -> None:
    waiting = {task for task in tasks if not task.done()}
    if not waiting:
        batch.done = True
        return

    def one(task: asyncio.Task[Any]) -> None:
        waiting.discard(task)
        batch.done = batch.done or not waiting

    for task in list(waiting):
        task.add_done_callback(one)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def networks(text: str) -> list[str]:
    """Networks of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


async def serve(s: Settings, webhook: str) -> None:
    """Run the feeder until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    egress = Egress(allowed=networks(s.webhook_allow_private), timeout=s.webhook_timeout_s)
    channel = Webhook("webhook", webhook, egress, secret=s.webhook_secret.get_secret_value())
    if s.metrics_port:
        start_http_server(s.metrics_port, addr=s.metrics_host)
    await Feeder(s, {channel.name: (channel, Policy())}, lambda _alert: [channel.name]).run(stop)


def main(s: Settings, webhook: str) -> None:
    """The process behind `chctl feed alerts`."""
    logs.configure(s)
    asyncio.run(serve(s, webhook))
