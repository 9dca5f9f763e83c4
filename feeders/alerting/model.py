"""What the feeder carries about: an alert as the outbox and the topic give it, a page to one channel, its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Severity = Literal["info", "warning", "critical"]
#: `acknowledged` is no row of the outbox: it is what `chctl alerts ack` makes the feeder tell channels that know it.
Status = Literal["firing", "acknowledged", "resolved"]

#: What one row of alert_deliveries says. `queued` is written for every message of an alert before the first is sent, so
#: that whoever follows a killed feeder sends the very same messages under the very same keys.
Outcome = Literal["queued", "delivered", "retry", "failed", "suppressed"]

#: Nothing more is tried after one of these.
FINAL: frozenset[str] = frozenset({"delivered", "failed", "suppressed"})


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One (alert_id, status) of the outbox. Times are milliseconds UTC; `evidence` is JSON text."""

    alert_id: str
    rule: str
    severity: Severity
    status: Status
    entity: str
    venue: str | None = None
    symbol: str | None = None
    user_id: int | None = None
    started_time: int
    event_time: int
    raised_time: int
    value: float | None = None
    baseline: float | None = None
    threshold: float | None = None
    summary: str | None = None
    evidence: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(alert_id, status): what is delivered once to a channel."""
        return self.alert_id, self.status

    @property
    def order(self) -> tuple[int, bool, str]:
        """Sorts alerts as they were raised; of one instant, firing before resolved."""
        return self.raised_time, self.status == "resolved", self.alert_id


def idempotency_key(alerts: Iterable[Alert], channel: str, step: int = 0) -> str:
    """The name of one message to one channel: the same alerts, channel and step always give the same key.

    `step` is 0 for the first page of an alert and counts its repeats and escalations. No character outside
    Standard Webhooks' advice for `webhook-id` is used.
    """
    hashed = hashlib.sha256()
    for alert_id, status in sorted(alert.key for alert in alerts):
        hashed.update(f"{alert_id}\0{status}\0".encode())
    hashed.update(f"{channel}\0{step}".encode())
    return f"msg_{hashed.hexdigest()[:40]}"


class RuleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns a rule, what to do first when it fires, how loud it is ("" as the rule says): a row of `rule_owners`."""

    rule: str = ""
    owner: str = ""
    severity: str = ""
    runbook: str = ""
    dashboard: str = ""


class Page(msgspec.Struct, kw_only=True):
    """One message to one channel about one alert, or about many of a storm.

    `rule` and `account` say what is known beside the first alert; they are no part of the key.
    """

    channel: str
    alerts: tuple[Alert, ...]
    step: int = 0
    key: str = ""
    attempt: int = 0  # attempts already recorded, of this feeder or of one before it
    rule: RuleInfo = RuleInfo()
    account: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.key = self.key or idempotency_key(self.alerts, self.channel, self.step)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended. `retry_after`: seconds the channel asked for."""

    outcome: Literal["delivered", "retry", "failed"]
    http_status: int = 0
    error: str = ""
    retry_after: float | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One row of alert_deliveries; `attempted_time` in milliseconds UTC."""

    alert_id: str
    status: str
    channel: str
    attempt: int
    attempted_time: int
    outcome: Outcome
    http_status: int = 0
    error: str = ""
    idempotency_key: str = ""
    latency_ms: int = 0
    step: int = 0
    feeder: str = ""
    trace_id: str = ""
