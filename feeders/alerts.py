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

import structlog
from clickhouse_connect.driver.exceptions import Error
from prometheus_client import Gauge

from chctl import clickhouse, logs
from chctl.settings import Settings
from feeders.alerting.accounts import Accounts
from feeders.alerting.heartbeat import Heartbeat
from feeders.alerting.lease import Lease
from feeders.alerting.outbox import Recorder
from feeders.alerting.routing import Routing
from feeders.alerting.term import READ_TIMEOUT, Channels, Term
from feeders.channels.build import build
from feeders.runtime import Supervisor, serve_metrics

log = structlog.get_logger()

LEADING = Gauge("chctl_alert_feeder_leading", "1 while this feeder holds the lease.")


class Feeder:
    """Holds the lease or stands by for it; runs a Term while it holds it."""

    def __init__(self, s: Settings, channels: Channels, routing: Routing, accounts: Accounts | None = None) -> None:
        self._s, self._channels, self._routing, self._accounts = s, channels, routing, accounts
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{int(time.time() * 1000)}"
        self._recorder = Recorder(lambda: clickhouse.connect(s, timeout=READ_TIMEOUT))
        self._supervisor = Supervisor()
        self._lease: Lease | None = None
        self._node_away = False
        self._leads = False
        self._heart = Heartbeat(
            s,
            dict(channels),
            routing,
            self._recorder,
            self.owner,
            leading=lambda: self._leads,
            alone=lambda: self._node_away,
        )

    def may_send(self) -> bool:
        """Whether an attempt may start now.

        With the lease run out because the node is away, the holder goes on: nobody can take a lease from a database
        that is down, and should only our own path to it be cut, the worst is a repeated idempotency key.
        """
        return self._lease is not None and (self._lease.held or (self._lease.epoch > 0 and self._node_away))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then drains within CHCTL_ALERTS_DRAIN_S and gives the lease back."""
        self._recorder.start()
        heart = asyncio.create_task(self._heart.run(stop), name="heartbeat")
        heart.add_done_callback(lambda task: None if task.cancelled() or not task.exception() else stop.set())
        while not stop.is_set():
            held = await self._hold()
            self._supervisor.ready("delivers" if held else "stands by")
            self._supervisor.progress()
            if held:
                await self._term(stop)
            await _pause(stop, min(1.0, self._s.alerts_lease_s / 5))
        await heart
        await self._recorder.close(5.0)
        if self._lease and not self._node_away:
            with contextlib.suppress(Error, OSError):
                await asyncio.to_thread(self._lease.release)

    async def _term(self, stop: asyncio.Event) -> None:
        log.info("this feeder delivers", owner=self.owner)
        LEADING.set(1)
        self._leads = True
        term = Term(
            self._s,
            self._channels,
            self._routing,
            self._recorder,
            self.owner,
            self.may_send,
            self._accounts,
            self._supervisor.progress,
            self._heart,
        )
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
            self._leads = False
            if stop.is_set():
                self._supervisor.stopping()
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
        self._lease = self._lease or Lease(
            clickhouse.connect(self._s, timeout=max(1.0, self._s.alerts_lease_s / 3)),
            self.owner,
            ttl=self._s.alerts_lease_s,
        )
        return self._lease.acquire()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def serve(s: Settings, routing: Routing) -> None:
    """Run the feeder until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    close_metrics = serve_metrics(s)
    accounts: Accounts | None = None
    if uri := s.mongo_uri.get_secret_value():
        from feeders.alerting.enrichment import MongoAccounts  # its driver takes a tenth of a second to import

        accounts = MongoAccounts(uri, deadline=s.mongo_deadline_s)
    try:
        await Feeder(s, build(s, routing), routing, accounts).run(stop)
    finally:
        if accounts:
            await accounts.close()
        close_metrics()


def main(s: Settings, routing: Routing) -> None:
    """The process behind `chctl feed alerts`."""
    logs.configure(s, "chctl-feed-alerts")
    asyncio.run(serve(s, routing))
