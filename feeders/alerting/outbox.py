"""The feeder's side of ClickHouse: what is still to deliver, and the record of what was tried."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from feeders.alerting.model import Alert, Attempt, RuleInfo, Status

log = structlog.get_logger()

T = TypeVar("T")

#: The columns of an alert as the topic spells them: times in milliseconds.
_ALERT = """
    alert_id, rule, severity, status, entity, venue, symbol, user_id,
    toUnixTimestamp64Milli(alerts.started_time) AS started_time,
    toUnixTimestamp64Milli(alerts.event_time) AS event_time,
    toUnixTimestamp64Milli(alerts.raised_time) AS raised_time,
    value, baseline, threshold, summary, evidence
"""

#: Alerts with no record at all, oldest first. The others are in the memory of the feeder that took them on.
#: A delivery is never before its alert but by the skew of two clocks, hence the hour more.
UNSEEN = f"""
SELECT {_ALERT}
FROM alerts FINAL
WHERE alerts.raised_time > now64(3) - toIntervalSecond({{lookback:UInt32}})
    AND (alert_id, status) NOT IN
    (
        SELECT alert_id, status
        FROM alert_deliveries
        WHERE attempted_time > now64(3) - toIntervalSecond({{lookback:UInt32}} + 3600)
    )
ORDER BY raised_time, status, alert_id
"""

#: Every message on record within the lookback, one row an alert in it: what a new holder of the lease goes on from.
ATTEMPTED = """
SELECT
    alert_id,
    status,
    channel,
    idempotency_key,
    step,
    max(attempt) AS attempts,
    max(outcome IN ('delivered', 'failed', 'suppressed')) AS is_final
FROM alert_deliveries
WHERE attempted_time > now64(3) - toIntervalSecond({lookback:UInt32} + 3600)
GROUP BY alert_id, status, channel, idempotency_key, step
"""

#: The alerts of messages that were queued and have no end on record.
UNFINISHED = f"""
SELECT {_ALERT}
FROM alerts FINAL
WHERE (alert_id, status) IN
(
    SELECT alert_id, status
    FROM alert_deliveries
    WHERE attempted_time > now64(3) - toIntervalSecond({{lookback:UInt32}} + 3600)
    GROUP BY alert_id, status, channel, idempotency_key
    HAVING max(outcome IN ('delivered', 'failed', 'suppressed')) = 0
)
ORDER BY raised_time, status, alert_id
"""


#: Pages about open alerts that are due now; see views/alerts/alerts_due.sql.
DUE = f"""
SELECT {_ALERT.strip()}, due.channel AS channel, due.status AS page_status, due.step AS step, due.acked_by AS acked_by
FROM alerts FINAL
INNER JOIN alerts_due AS due ON due.alert_id = alerts.alert_id
WHERE (alerts.status = 'firing') AND (alerts.raised_time > now64(3) - toIntervalSecond({{lookback:UInt32}}))
ORDER BY raised_time, alert_id, channel
"""

#: Alerts that fire and whose plan is of another feeder, or of owners that are no more.
UNPLANNED = f"""
SELECT {_ALERT}
FROM alerts FINAL
WHERE (status = 'firing') AND (alerts.raised_time > now64(3) - toIntervalSecond({{lookback:UInt32}}))
    AND alert_id NOT IN (SELECT alert_id FROM alerts WHERE status = 'resolved')
    AND alert_id NOT IN (SELECT alert_id FROM alert_plans FINAL WHERE planned_by = {{planned_by:String}})
"""

#: The latest event of what an alert is about, up to the second that raised it: the message that its trace begins with.
#: Every branch reads a minute of one account or book.
SOURCE = """
SELECT topic, partition, offset, event_time, receive_time, ingest_time
FROM
(
    SELECT
        'user_actions' AS topic,
        partition,
        offset,
        toUnixTimestamp64Milli(user_orders.event_time) AS event_time,
        toUnixTimestamp64Milli(toDateTime64(receive_time, 3, 'UTC')) AS receive_time,
        toUnixTimestamp64Milli(user_orders.ingest_time) AS ingest_time
    FROM user_orders
    WHERE (user_id = {user_id:UInt64}) AND ({user_id:UInt64} != 0)
        AND (user_orders.event_time > fromUnixTimestamp64Milli({since:Int64}))
        AND (user_orders.event_time < fromUnixTimestamp64Milli({until:Int64}))
    UNION ALL
    SELECT
        'user_actions',
        partition,
        offset,
        toUnixTimestamp64Milli(user_transfers.event_time),
        toUnixTimestamp64Milli(toDateTime64(receive_time, 3, 'UTC')),
        toUnixTimestamp64Milli(user_transfers.ingest_time)
    FROM user_transfers
    WHERE (user_id = {user_id:UInt64}) AND ({user_id:UInt64} != 0)
        AND (user_transfers.event_time > fromUnixTimestamp64Milli({since:Int64}))
        AND (user_transfers.event_time < fromUnixTimestamp64Milli({until:Int64}))
    UNION ALL
    SELECT
        'market_l2',
        partition,
        offset,
        toUnixTimestamp64Milli(book_deltas.event_time),
        toUnixTimestamp64Milli(toDateTime64(receive_time, 3, 'UTC')),
        toUnixTimestamp64Milli(book_deltas.ingest_time)
    FROM book_deltas
    WHERE ({user_id:UInt64} = 0) AND (venue = {venue:String}) AND (symbol = {symbol:String})
        AND (window_start > fromUnixTimestamp64Milli({since:Int64}))
        AND (book_deltas.event_time < fromUnixTimestamp64Milli({until:Int64}))
)
ORDER BY event_time DESC, ingest_time DESC
LIMIT 1
"""

#: Why nobody is told just now of alerts raised since then, "" where they may be; see views/alerts/alerts_held.sql.
HELD = "SELECT alert_id, reason FROM alerts_held WHERE raised_time >= fromUnixTimestamp64Milli({since:Int64})"

OWNERS = "SELECT rule, owner, severity, runbook, dashboard FROM rule_owners FINAL"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What the tree says of one alert and one channel, as in alert_plans; times in seconds."""

    channel: str
    after: float
    repeat: float
    acknowledges: bool


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A page that is due: about this alert to this channel; `acked_by` who took it on ("": nobody)."""

    alert: Alert
    channel: str
    status: Status
    step: int
    acked_by: str


class Source(msgspec.Struct, frozen=True, array_like=True):
    """A message of a topic and the times of its row (milliseconds UTC): at the venue, at the producer, in the node."""

    topic: str
    partition: int
    offset: int
    event_time: int
    receive_time: int
    ingest_time: int


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """What the record says about one alert in one message to one channel."""

    alert_id: str
    status: str
    channel: str
    idempotency_key: str
    step: int
    attempts: int
    is_final: bool


class Outbox:
    """Reads of the tables `alerts` and `alert_deliveries`; `lookback` in seconds bounds how old an alert may be."""

    def __init__(self, client: Client, lookback: int) -> None:
        self.client, self.lookback = client, lookback

    def unseen(self) -> list[Alert]:
        return self._alerts(UNSEEN)

    def unfinished(self) -> list[Alert]:
        return self._alerts(UNFINISHED)

    def progress(self) -> list[Progress]:
        rows = self.client.query(ATTEMPTED, parameters={"lookback": self.lookback}).result_rows
        return [msgspec.convert(row, Progress, strict=False) for row in rows]

    def due(self) -> list[Due]:
        """Repeats, escalation, acknowledgements, and what is held no more."""
        return [
            Due(
                alert=msgspec.convert(row, Alert, strict=False),
                channel=row["channel"],
                status=row["page_status"],
                step=row["step"],
                acked_by=row["acked_by"],
            )
            for row in self._named(DUE, lookback=self.lookback)
        ]

    def unplanned(self, planned_by: str) -> list[Alert]:
        rows = self._named(UNPLANNED, lookback=self.lookback, planned_by=planned_by)
        return [msgspec.convert(row, Alert, strict=False) for row in rows]

    def plan(self, plans: Mapping[str, Sequence[Planned]], planned_by: str) -> None:
        """Write down whom the tree wants told of each alert."""
        self.client.insert(
            "alert_plans",
            [
                [
                    alert_id,
                    [(each.channel, each.after, each.repeat, int(each.acknowledges)) for each in plan],
                    planned_by,
                ]
                for alert_id, plan in plans.items()
            ],
            column_names=["alert_id", "plan", "planned_by"],
            settings={"async_insert": 0},
        )

    def held(self, since: int) -> dict[str, str]:
        """alert_id to the reason why nobody is told ("": none), of alerts raised since then (milliseconds UTC)."""
        return {row[0]: row[1] for row in self.client.query(HELD, parameters={"since": since}).result_rows}

    def source(self, alert: Alert) -> Source | None:
        """The message behind an alert, None where no stored row is about it (posts, channels)."""
        until = alert.event_time // 1000 * 1000 + 1000
        parameters = {
            "user_id": alert.user_id or 0,
            "venue": alert.venue or "",
            "symbol": alert.symbol or "",
            "since": until - 60_000,
            "until": until,
        }
        rows = self.client.query(SOURCE, parameters=parameters).result_rows
        return msgspec.convert(rows[0], Source, strict=False) if rows else None

    def owners(self) -> dict[str, RuleInfo]:
        return {info.rule: info for info in self._rows(OWNERS, RuleInfo)}

    def _rows(self, statement: str, kind: type[T]) -> list[T]:
        return [msgspec.convert(row, kind, strict=False) for row in self._named(statement)]

    def _alerts(self, statement: str) -> list[Alert]:
        return [msgspec.convert(row, Alert, strict=False) for row in self._named(statement, lookback=self.lookback)]

    def _named(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        result = self.client.query(statement, parameters=parameters)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


class Recorder:
    """Writes attempts to alert_deliveries in the background, in order, until they are stored.

    Attempts made while the node is away wait in memory; what is lost with the process is delivered again by the next
    feeder under the same idempotency key.
    """

    def __init__(self, connect: Callable[[], Client], *, pause: float = 0.5) -> None:
        self._connect, self._pause = connect, pause
        self._client: Client | None = None
        self._waiting: list[tuple[Attempt, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="recorder")

    @property
    def backlog(self) -> int:
        """Attempts not yet stored."""
        return len(self._waiting)

    def write(self, attempts: Iterable[Attempt]) -> asyncio.Future[Any]:
        """Queue attempts; the future is done when all of them are stored."""
        loop = asyncio.get_running_loop()
        futures = []
        for attempt in attempts:
            futures.append(loop.create_future())
            self._waiting.append((attempt, futures[-1]))
        self._wake.set()
        return asyncio.gather(*futures)

    async def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what is queued, then stop; what is left is logged."""
        assert self._task
        pending = [future for _, future in self._waiting]
        if pending:
            await asyncio.wait(pending, timeout=timeout)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._waiting:
            log.warning("alert attempts not recorded; they are repeated under the same keys", count=len(self._waiting))

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._waiting[:5000]
                token = uuid.uuid4().hex
                while True:
                    try:
                        await asyncio.to_thread(self._insert, [attempt for attempt, _ in batch], token)
                        break
                    except (Error, OSError) as error:
                        log.warning(
                            "cannot record alert attempts yet", count=len(self._waiting), error=str(error)[:300]
                        )
                        self._client = None
                        await asyncio.sleep(self._pause)
                del self._waiting[: len(batch)]
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)

    def _insert(self, attempts: Sequence[Attempt], token: str) -> None:
        client = self._client = self._client or self._connect()
        columns = Attempt.__struct_fields__
        client.insert(
            "alert_deliveries",
            [[getattr(attempt, column) for column in columns] for attempt in attempts],
            column_names=columns,
            settings={"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token},
        )
