"""The dead man's switch of the alert path.

The feeder that delivers produces a row to the topic `heartbeats` every CHCTL_HEARTBEAT_S. The node makes an alert of
it, and that alert must come back through outbox and topic like any other; the channel `heartbeat` then tells a check
outside (CHCTL_HEARTBEAT_URL), which pages when it hears nothing: it alone notices that this host is gone. When nothing
comes back here for CHCTL_HEARTBEAT_LATE_S, the feeder pages by itself, past a node that may be dead: the alert
heartbeat_missing. The first heartbeat that the node reads again resolves it (alerts_resolved_by_heartbeat_mv).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable

import msgspec
import structlog
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import KafkaException, Producer
from prometheus_client import Counter, Gauge

from chctl import clickhouse, kafka
from chctl.settings import Settings
from feeders.alerting.dispatch import Lane, Policy, rows
from feeders.alerting.model import Alert, Page, Result, RuleInfo
from feeders.alerting.outbox import Recorder
from feeders.alerting.routing import Destination, Routing
from feeders.channels import Channel

log = structlog.get_logger()

RULE, MISSING, TOPIC, CHANNEL = "heartbeat", "heartbeat_missing", "heartbeats", "heartbeat"
#: Where the alerts of RULE go: nowhere else, silence or not.
DESTINATION = Destination(channels=(CHANNEL,), path="heartbeat")
RUNBOOK = "Alerts are not getting through. chctl doctor says which hop fails: broker, Kafka table, node, feeder."

BEATS = Counter("chctl_heartbeats_total", "Heartbeats that came back to this feeder.")
AGE = Gauge("chctl_heartbeat_age_seconds", "Since a heartbeat came back; counts from the start before the first.")


class Heartbeat:
    """Sends heartbeats, hears them come back, and pages when they do not.

    `leading` and `alone`: this feeder delivers; the node does not answer it, so nobody else can be known to watch.
    """

    def __init__(
        self,
        s: Settings,
        channels: dict[str, tuple[Channel, Policy]],
        routing: Routing,
        recorder: Recorder,
        owner: str,
        *,
        leading: Callable[[], bool],
        alone: Callable[[], bool],
    ) -> None:
        self._s, self._routing, self._recorder, self._owner = s, routing, recorder, owner
        self._leading, self._alone = leading, alone
        self._lanes = {
            name: Lane(channel, policy, recorder, feeder=owner, may_send=lambda: True, on_attempt=_log)
            for name, (channel, policy) in channels.items()
        }
        self._heard = time.monotonic()
        self._sent = 0.0
        self._taken: bool | None = None  # whether the broker took the last heartbeat; None: no answer yet
        self._missing: Alert | None = None
        self._paged = 0.0
        self._step = 0
        self._raised: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self) -> None:
        """A heartbeat came back."""
        BEATS.inc()
        self._heard = time.monotonic()
        if self._missing:
            log.warning("heartbeats come back", after_s=round(time.time() - self._missing.started_time / 1000))
            self._missing, self._step = None, 0

    def paged(self, alert: Alert) -> bool:
        """Whether this feeder has told people of the alert already, past the node."""
        return alert.status == "firing" and alert.alert_id in self._raised

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        if not self._s.heartbeat_s:
            return
        config = {"message.timeout.ms": int(self._s.heartbeat_s * 1000), "error_cb": _quiet}
        producer = Producer(kafka.producer_config(self._s) | config)
        while not stop.is_set():
            now = time.monotonic()
            if self._leading() and now - self._sent >= self._s.heartbeat_s:
                self._sent = now
                self._send(producer)
            producer.poll(0)
            if not (self._leading() or self._alone()):
                self._heard = now  # another feeder watches
            AGE.set(now - self._heard)
            if now - self._heard > self._s.heartbeat_late_s:
                self._page(now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(1.0, self._s.heartbeat_s / 4))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(lane.drain(1.0) for lane in self._lanes.values()))

    def _send(self, producer: Producer) -> None:
        def answered(error: object, _message: object) -> None:
            self._taken = error is None

        self._taken = None
        row = {"sender": self._owner, "sent_time": int(time.time() * 1000)}
        try:
            producer.produce(TOPIC, msgspec.json.encode(row), self._owner.encode(), on_delivery=answered)
        except (BufferError, KafkaException) as error:
            log.warning("cannot send a heartbeat", error=str(error)[:300])

    def _page(self, now: float) -> None:
        """Tell everybody whom the routing names, and again when it says so."""
        if self._missing is None:
            self._missing = self._alert(now)
            self._raised.add(self._missing.alert_id)
            log.error("no heartbeat comes back", summary=self._missing.summary)
            task = asyncio.create_task(self._remember(self._missing, self._submit(self._missing)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._paged = now
            return
        repeats = [found.repeat for found in self._routing.destinations(self._missing) if found.repeat]
        if repeats and now - self._paged >= min(repeats):
            self._step += 1
            self._paged = now
            self._submit(self._missing)

    def _submit(self, alert: Alert) -> asyncio.Future[list[None]]:
        """Hand the pages to their lanes; the future is done when they are on record."""
        names = {name for found in self._routing.destinations(alert) for name in found.channels}
        rule = RuleInfo(rule=MISSING, owner="platform", runbook=RUNBOOK)
        pages = [
            Page(channel=name, alerts=(alert,), step=self._step, rule=rule) for name in sorted(names & set(self._lanes))
        ]
        recorded = self._recorder.write(row for page in pages for row in rows(page, "queued", feeder=self._owner))
        for page in pages:
            self._lanes[page.channel].submit(page)
        return recorded

    def _alert(self, now: float) -> Alert:
        silent = now - self._heard
        started = int((time.time() - silent) * 1000)
        broker = {True: "took the last one", False: "refused the last one", None: "does not answer"}[self._taken]
        node = "does not answer" if self._alone() else "answers"
        name = f"{MISSING} {self._owner} {started}"
        return Alert(
            alert_id=hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
            rule=MISSING,
            severity="critical",
            status="firing",
            entity="alert_path",
            started_time=started,
            event_time=int(time.time() * 1000),
            raised_time=int(time.time() * 1000),
            value=round(silent, 1),
            baseline=self._s.heartbeat_s,
            threshold=self._s.heartbeat_late_s,
            summary=f"no heartbeat came back for {silent:.0f} s, alerts are not getting through: "
            f"the node {node}, the broker {broker}",
            evidence=msgspec.json.encode({"node": node, "broker": broker, "feeder": self._owner}).decode(),
        )

    async def _remember(self, alert: Alert, recorded: asyncio.Future[list[None]]) -> None:
        """Put the alert into the outbox once the node takes it, and only then: its pages must be on record before."""
        await recorded
        columns = [name for name in Alert.__struct_fields__ if getattr(alert, name) is not None]
        while True:
            try:
                await asyncio.to_thread(self._insert, columns, [getattr(alert, name) for name in columns])
                return
            except (Error, OSError) as error:
                log.warning("cannot record the missing heartbeat yet", error=str(error)[:300])
                await asyncio.sleep(1.0)

    def _insert(self, columns: list[str], values: list[object]) -> None:
        with clickhouse.connect(self._s, timeout=5.0) as client:
            client.insert("alerts", [values], column_names=columns, settings={"async_insert": 0})


def _log(page: Page, result: Result) -> None:
    log.warning("told of the missing heartbeat", channel=page.channel, outcome=result.outcome, error=result.error)


def _quiet(_error: object) -> None:
    """A broker that is away is what this is about; the page says it."""
