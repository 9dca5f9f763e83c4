"""One holding of the lease: what is to be told to whom, decided from the record, put on record, then sent."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog
from clickhouse_connect.driver.exceptions import Error
from prometheus_client import Counter, Gauge, Histogram

from chctl import clickhouse, kafka
from chctl.settings import Settings
from chctl.tracing import alert_context, tracer
from feeders.alerting import heartbeat
from feeders.alerting.accounts import Accounts
from feeders.alerting.dispatch import Lane, Policy, rows
from feeders.alerting.model import Alert, Attempt, Page, Result, RuleInfo
from feeders.alerting.outbox import Due, Outbox, Planned, Recorder, Source
from feeders.alerting.routing import Destination, Group, Routing
from feeders.alerting.storms import Storms
from feeders.alerting.topic import Batch, TopicReader
from feeders.channels import Channel

log = structlog.get_logger()


ATTEMPTS = Counter("chctl_alert_attempts_total", "Attempts to deliver an alert.", ["channel", "outcome"])
LATENCY = Histogram(
    "chctl_alert_delivery_seconds",
    "From the row in the outbox to its acceptance by a channel.",
    ["channel"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
)
PENDING = Gauge("chctl_alert_pages_pending", "Pages submitted and not finished.", ["channel"])

#: Channel name to channel and policy: what a feeder can reach.
Channels = Mapping[str, tuple[Channel, Policy]]
Key = tuple[str, str]

#: Seconds for one answer of the node; pages do not wait that long for it.
READ_TIMEOUT = 5.0

#: Seconds to find out whether a new alert is held back; a node that is slower is taken as not to answer.
HELD_TIMEOUT = 3.0

#: Stands for the idempotency key of an alert that waits for the page of its storm.
HELD = "held"
Submitted = dict[Key, list[asyncio.Task[None]]]


class Term:
    """Begins with what is unfinished on record, forgets everything at its end."""

    def __init__(
        self,
        s: Settings,
        channels: Channels,
        routing: Routing,
        recorder: Recorder,
        owner: str,
        may_send: Callable[[], bool],
        accounts: Accounts | None = None,
        on_progress: Callable[[], None] = lambda: None,
        heart: heartbeat.Heartbeat | None = None,
    ) -> None:
        self._heart = heart
        self._s, self._routing, self._recorder, self._owner, self._accounts = s, routing, recorder, owner, accounts
        self._channels, self._on_progress = channels, on_progress
        self._lanes = {
            name: Lane(channel, policy, recorder, feeder=owner, may_send=may_send, on_attempt=_measure)
            for name, (channel, policy) in channels.items()
        }
        for name, lane in self._lanes.items():
            PENDING.labels(name).set_function(partial(len, lane.tasks))
        self._seen: dict[Key, int] = {}  # to raised_time, so that it can be forgotten in time
        self._told: dict[str, set[str]] = {}  # alert_id to the channels that know, or will know, that it fires
        self._keys: set[str] = set()  # idempotency keys of everything submitted
        self._storms = Storms()
        self._owners: dict[str, RuleInfo] = {}
        self._traces: deque[tuple[Alert, int]] = deque(maxlen=1000)  # taken on, their spans not yet sent
        self._batches: list[Batch] = []
        self._wake = asyncio.Event()
        self._sweeper, self._reviewer, self._judge = Reads(s), Reads(s), Reads(s)
        self._sweep: asyncio.Task[Any] | None = None
        self._judgement: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while not await self._recover():
            await asyncio.sleep(0.5)
        reviews = asyncio.create_task(self._reviews(), name="reviews")
        topic = self._s.alerts_topic
        reader = TopicReader(kafka.consumer_config(self._s, f"chctl.alerts.{topic}"), topic, self._on_batch)
        reader.start()
        try:
            while True:
                await self._round()
                self._on_progress()
                if reviews.done():
                    reviews.result()  # a defect of ours: end the term with it
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._s.alerts_sweep_s)
        finally:
            reviews.cancel()
            for asked in (self._sweep, self._judgement):
                if asked:
                    asked.cancel()
            await reader.close()

    async def close(self, timeout: float) -> None:
        """Let attempts under way end within `timeout` seconds; what is unfinished stays on record as queued."""
        await asyncio.gather(*(lane.drain(timeout) for lane in self._lanes.values()), self._trace_taken())

    # --- what is new

    def _on_batch(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._wake.set()

    async def _round(self) -> None:
        """Take on what the topic brought and what the outbox holds besides, in the order in which it was raised."""
        self._wake.clear()
        batches, self._batches = self._batches, []
        found = await self._unseen()
        oldest = int((time.time() - self._s.alerts_lookback_s) * 1000)
        alerts = {alert.key: alert for alert in [*(a for batch in batches for a in batch.alerts), *found]}
        fresh = sorted(
            (
                alert
                for alert in alerts.values()
                if alert.key not in self._seen
                and alert.raised_time > oldest
                and not (self._heart and self._heart.paged(alert))
            ),
            key=lambda alert: alert.order,
        )
        tasks = await self._take_on(fresh)
        for batch in batches:
            # An alert of an earlier batch needs no wait here: that batch is committed first.
            _when_all([task for alert in batch.alerts for task in tasks.get(alert.key, [])], batch)
        if len(self._seen) > 100_000:
            self._seen = {key: raised for key, raised in self._seen.items() if raised > oldest}
            self._told = {alert_id: told for alert_id, told in self._told.items() if (alert_id, "firing") in self._seen}

    async def _unseen(self) -> list[Alert]:
        """What the outbox holds besides. A slow node is asked once, and its answer taken when it comes."""
        self._sweep = self._sweep or asyncio.create_task(self._sweeper.ask(Outbox.unseen))
        await asyncio.wait([self._sweep], timeout=1.0)
        if not self._sweep.done():
            log.warning("the node is slow to sweep the outbox; going by the topic alone")
            return []
        found, self._sweep = self._sweep.result(), None
        return found or []

    async def _held(self, alerts: list[Alert]) -> dict[str, str]:
        """Why nobody is told of these just now, by alert_id. A node that cannot say holds nothing back.

        The topic may be a moment ahead of the table, hence asked again for what the view does not know yet.
        """
        fired = [alert for alert in alerts if alert.status == "firing"]
        if not fired:
            return {}
        wanted, since = {alert.alert_id for alert in fired}, min(alert.raised_time for alert in fired)
        until, answer = time.monotonic() + HELD_TIMEOUT, {}
        while (left := until - time.monotonic()) > 0:
            query = partial(Outbox.held, since=since)
            self._judgement = self._judgement or asyncio.create_task(self._judge.ask(query))
            await asyncio.wait([self._judgement], timeout=left)
            if not self._judgement.done():
                log.warning("the node is slow to say what is silenced; telling", count=len(fired))
                return {}
            answer, self._judgement = self._judgement.result(), None
            if answer is None:
                return {}
            if wanted <= answer.keys():
                break
            await asyncio.sleep(0.02)
        return answer

    async def _take_on(self, alerts: list[Alert]) -> Submitted:
        """Plan the pages of new alerts and of windows that are over, then submit them."""
        pages: list[Page] = []
        plan: list[Attempt] = []
        held = await self._held(alerts)
        now = time.monotonic()
        for alert in alerts:
            self._seen[alert.key] = alert.raised_time
            alert = self._as_owned(alert)
            self._traces.append((alert, time.time_ns()))
            if self._heart and alert.rule == heartbeat.RULE:
                self._heart.hear()
                destinations, reason = [heartbeat.DESTINATION], ""
            elif alert.status == "resolved" and (alert.alert_id, "firing") in self._seen:
                # Whoever was told that it fires is told that it ended, silence or not; nobody else is.
                told = self._told.pop(alert.alert_id, set())
                destinations = [Destination(channels=tuple(sorted(told)), path="")] if told else []
                reason = "nobody was told that it fires"
            else:
                destinations, reason = self._destinations(alert), "no channel left"
                if why := held.get(alert.alert_id):
                    destinations, reason = [], why
            if not any(found.channels for found in destinations):
                plan += self._nobody(alert, reason)
            for found in destinations:
                for name in found.channels:
                    if name not in self._lanes:
                        plan += self._nobody(alert, f"no channel is called {name}")
                        continue
                    if alert.status == "firing":
                        self._told.setdefault(alert.alert_id, set()).add(name)
                    group = self._group(alert, found)
                    ready = [Page(channel=c, alerts=of) for c, of in self._storms.add(name, group, alert, now)]
                    pages += ready
                    if not any(alert in page.alerts for page in ready):
                        # It waits for its storm's page: said on record, for it has no key before that.
                        plan += rows(Page(channel=name, alerts=(alert,), key=HELD), "queued", feeder=self._owner)
        pages += [Page(channel=channel, alerts=of) for channel, of in self._storms.due(now)]
        return await self._submit(pages, plan)

    async def _submit(self, pages: Iterable[Page], plan: list[Attempt]) -> Submitted:
        """Put the plan on record, then hand it to the lanes. What was submitted before is left out."""
        pages = [page for page in pages if page.key not in self._keys]
        self._keys.update(page.key for page in pages)
        plan += [row for page in pages for row in rows(page, "queued", feeder=self._owner)]
        if plan:
            # Neither a node nor an account database that does not answer delays a page by more than a moment.
            enriched = asyncio.gather(*(self._enrich(page) for page in pages))
            await asyncio.wait([self._recorder.write(plan), enriched], timeout=1.0)
        tasks: Submitted = {}
        for page in pages:
            task = self._lanes[page.channel].submit(page)
            for alert in page.alerts:
                tasks.setdefault(alert.key, []).append(task)
        return tasks

    async def _enrich(self, page: Page) -> None:
        alert = page.alerts[0]
        page.rule = self._owners.get(alert.rule) or RuleInfo(rule=alert.rule)
        if self._accounts and alert.user_id:
            page.account = await self._accounts.get(alert.user_id)

    # --- who

    def _as_owned(self, alert: Alert) -> Alert:
        owned = self._owners.get(alert.rule)
        if owned and owned.severity in ("info", "warning", "critical"):
            return msgspec.structs.replace(alert, severity=owned.severity)
        return alert

    def _destinations(self, alert: Alert) -> list[Destination]:
        """As the tree says; the alert about a failed channel never by that channel, and by the fallback besides."""
        if alert.rule == "channel_test":  # of `chctl alerts test`: to the channel it names, and to no other
            return [Destination(channels=(alert.entity.removeprefix("channel:"),), path="test")]
        destinations = self._routing.destinations(alert)
        if alert.rule == "delivery_failed":
            broken = alert.entity.removeprefix("channel:")
            known = {name for found in destinations for name in found.channels}
            if self._routing.fallback and self._routing.fallback not in known:
                destinations.append(Destination(channels=(self._routing.fallback,), path="fallback"))
            destinations = [
                found.model_copy(update={"channels": tuple(name for name in found.channels if name != broken)})
                for found in destinations
            ]
        return destinations

    def _group(self, alert: Alert, found: Destination) -> Group:
        if alert.status == "resolved" and not found.path:
            first = next(iter(self._destinations(alert)), None)
            return first.group if first else found.group
        return found.group

    def _nobody(self, alert: Alert, reason: str) -> list[Attempt]:
        log.info("nobody is told", alert_id=alert.alert_id, status=alert.status, reason=reason)
        page = Page(channel="", alerts=(alert,))
        return rows(page, "suppressed", feeder=self._owner, result=Result(outcome="failed", error=reason))

    # --- what goes on

    async def _reviews(self) -> None:
        while True:
            await self._review()
            await self._trace_taken()
            await asyncio.sleep(self._s.alerts_review_s)

    async def _review(self) -> None:
        """Repeats, escalation, acknowledgements, what is held no more: decided in SQL, from the record (alerts_due)."""
        owners = await self._reviewer.ask(Outbox.owners)
        self._owners = self._owners if owners is None else owners
        # Owners change the severity by which the tree routes: other owners, other plans.
        known = hashlib.sha256(msgspec.json.encode(sorted(self._owners.items()))).hexdigest()[:12]
        planned_by = f"{self._owner} {known}"
        unplanned = await self._reviewer.ask(partial(Outbox.unplanned, planned_by=planned_by))
        if unplanned:
            plans = {alert.alert_id: self._plan(self._as_owned(alert)) for alert in unplanned}
            await self._reviewer.ask(partial(Outbox.plan, plans=plans, planned_by=planned_by))
        await self._submit(self._again(await self._reviewer.ask(Outbox.due) or []), [])

    def _plan(self, alert: Alert) -> list[Planned]:
        """Whom the tree wants told, each channel once: as a destination rather than by escalation."""
        found = self._destinations(alert)
        wanted = [(name, 0.0, each.repeat) for each in found for name in each.channels]
        steps = sorted((step for each in found for step in each.escalate), key=lambda step: step.after)
        wanted += [(name, step.after, 0.0) for step in steps for name in step.channels]
        plan: dict[str, Planned] = {}
        for name, after, repeat in wanted:
            if name in self._channels:
                acknowledges = self._channels[name][0].acknowledges
                plan.setdefault(name, Planned(channel=name, after=after, repeat=repeat, acknowledges=acknowledges))
        return list(plan.values())

    async def _trace_taken(self) -> None:
        """Spans of what was taken on, for whoever collects them; of a storm only the last alerts know their message."""
        while self._traces:
            alert, taken = self._traces.popleft()
            ask = self._s.otlp_endpoint and alert.status == "firing" and len(self._traces) < 50
            _trace(alert, taken, await self._reviewer.ask(partial(Outbox.source, alert=alert)) if ask else None)

    def _again(self, due: list[Due]) -> list[Page]:
        """The pages that are due; of many of one group and step a few alone, the rest as one with the count."""
        pages: list[Page] = []
        groups: dict[tuple[str, ...], list[Alert]] = {}
        for each in due:
            alert = self._as_owned(each.alert)
            if alert.key not in self._seen or each.channel not in self._lanes:
                continue  # new, or of a feeder with other channels
            if each.status == "acknowledged":
                acked = msgspec.structs.replace(alert, status="acknowledged", summary=f"taken on by {each.acked_by}")
                pages.append(Page(channel=each.channel, alerts=(acked,)))
                continue
            page = Page(channel=each.channel, alerts=(alert,), step=each.step)
            if page.key in self._keys:
                continue  # under way, not yet on record
            self._told.setdefault(alert.alert_id, set()).add(each.channel)
            group = self._group_of(alert, each.channel)
            key = (each.channel, str(each.step), *(str(getattr(alert, field)) for field in group.by))
            waiting = groups.setdefault(key, [])
            waiting.append(alert)
            if len(waiting) <= group.limit:
                pages.append(page)
        for (channel, step, *_), alerts in groups.items():
            rest = alerts[self._group_of(alerts[0], channel).limit :]
            if rest:
                # Under way as a page of its own too, should the record lag behind the next look.
                self._keys.update(Page(channel=channel, alerts=(alert,), step=int(step)).key for alert in rest)
                pages.append(Page(channel=channel, alerts=tuple(rest), step=int(step)))
        return pages

    def _group_of(self, alert: Alert, channel: str) -> Group:
        """The group of the destination that leads to a channel, by escalation or at once."""
        for found in self._destinations(alert):
            if channel in found.channels or any(channel in step.channels for step in found.escalate):
                return found.group
        return Group()

    # --- what was left

    async def _recover(self) -> bool:
        """Read what is on record and go on with what has no end; False when the node cannot be asked."""
        progress = await self._reviewer.ask(Outbox.progress)
        unfinished = await self._reviewer.ask(Outbox.unfinished)
        owners = await self._reviewer.ask(Outbox.owners)
        if progress is None or unfinished is None or owners is None:
            return False
        self._owners = owners
        alerts = {alert.key: self._as_owned(alert) for alert in unfinished}
        pages: dict[str, Page] = {}
        now = int(time.time() * 1000)
        sent = {(row.alert_id, row.status, row.channel) for row in progress if row.idempotency_key != HELD}
        for row in progress:
            if row.idempotency_key == HELD and (row.alert_id, row.status, row.channel) in sent:
                continue
            if row.status != "acknowledged":
                self._seen[row.alert_id, row.status] = now
            if row.is_final or row.status != "acknowledged":
                self._keys.add(row.idempotency_key)  # an acknowledgement not yet told is planned again
            if row.status == "firing" and row.channel:
                self._told.setdefault(row.alert_id, set()).add(row.channel)
            alert = alerts.get((row.alert_id, row.status))
            if row.is_final or alert is None or row.channel not in self._lanes:
                continue
            if row.idempotency_key == HELD:
                alone = Page(channel=row.channel, alerts=(alert,))
                pages[alone.key] = alone
                continue
            page = pages.get(row.idempotency_key)
            of = (*page.alerts, alert) if page else (alert,)
            pages[row.idempotency_key] = Page(
                channel=row.channel,
                alerts=tuple(sorted(of, key=lambda each: each.order)),
                step=row.step,
                key=row.idempotency_key,
                attempt=row.attempts,
            )
        await asyncio.gather(*(self._enrich(page) for page in pages.values()))
        for page in sorted(pages.values(), key=lambda page: page.alerts[0].order):
            self._keys.add(page.key)
            self._lanes[page.channel].submit(page)
        if pages:
            log.info("going on with unfinished pages", count=len(pages))
        return True


class Reads:
    """Asks the node one question at a time, in a thread of its own client."""

    def __init__(self, s: Settings) -> None:
        self._s = s
        self._outbox: Outbox | None = None

    async def ask(self, query: Callable[[Outbox], Any]) -> Any:
        """The answer of the node, or None when it has none just now."""

        def read() -> Any:
            self._outbox = self._outbox or Outbox(
                clickhouse.connect(self._s, timeout=READ_TIMEOUT), self._s.alerts_lookback_s
            )
            return query(self._outbox)

        try:
            return await asyncio.to_thread(read)
        except (Error, OSError) as error:
            log.warning("the node does not answer", error=str(error)[:300])
            self._outbox = None
            return None


def _trace(alert: Alert, taken: int, source: Source | None) -> None:
    """The way of an alert to this feeder, which took it on at `taken` (ns UTC): every hop with its own times.

    Without a source message the way begins at the evidence: "source to outbox".
    """
    context = alert_context(alert.alert_id)
    attributes: dict[str, str | int] = {
        "alert.id": alert.alert_id,
        "alert.rule": alert.rule,
        "alert.entity": alert.entity,
    }
    raised = alert.raised_time * 1_000_000
    if source:
        attributes |= {
            "messaging.system": "kafka",
            "messaging.destination.name": source.topic,
            "messaging.destination.partition.id": str(source.partition),
            "messaging.kafka.offset": source.offset,
        }
        happened, received, stored = (
            t * 1_000_000 for t in (source.event_time, source.receive_time, source.ingest_time)
        )
        ways = [("venue to producer", happened, received), ("ingest", received, stored), ("raise", stored, raised)]
    else:
        ways = [("source to outbox", alert.event_time * 1_000_000, raised)]
    for name, start, end in [*ways, ("outbox to feeder", raised, taken)]:
        span = tracer().start_span(f"{name} {alert.status}", context, start_time=start, attributes=attributes)
        span.end(max(start, end))


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
