"""`chctl doctor`: is everything well? What the node says of itself (dash_health) and what only a client can see.

The checks a client adds: node and broker answer, their versions, the node's clock, topics against contracts, how far
each consumer group is behind, and whether the schema is the one of the files.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import KafkaException
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from chctl import lag, migrate, status, topics
from chctl.answers import select
from chctl.clickhouse import connect
from chctl.contracts import Contract, ContractError, load_all
from chctl.settings import Settings

Verdict = Literal["ok", "warn", "fail"]
ORDER: dict[str, int] = {"ok": 0, "warn": 1, "fail": 2}

#: The SQL of views/ is tested on this release; servers should be on the one docker-compose.yml pins, or later.
OLDEST = (26, 1)
#: Seconds between the node's clock and ours; beyond the second, alerts of fresh events look old.
SKEW_WARN, SKEW_FAIL = 1.0, 10.0
#: Seconds that the oldest unread message of a group has waited.
LAG_WARN, LAG_FAIL = 30.0, 300.0
NODE_TIMEOUT = 15.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, as a row of dash_health has it. `value` and `bound` in `unit`; None: not known."""

    check: str
    subject: str
    status: Verdict
    says: str
    value: float | None = None
    bound: float | None = None
    unit: str = ""
    todo: str = ""


def examine(s: Settings) -> list[Check]:
    """Every check, the worst first. Never raises for what is ill: that is what it tells."""
    found = [
        *_guarded("node", s.clickhouse_url, lambda: _node(s)),
        *_guarded("broker", s.kafka_brokers, lambda: _broker(s)),
    ]
    return sorted(found, key=lambda one: (-ORDER[one.status], one.check, one.subject))


def exit_code(checks: Iterable[Check]) -> int:
    """0: all well; 2: something should be looked at; 1: something fails."""
    return {0: 0, 1: 2, 2: 1}[max((ORDER[one.status] for one in checks), default=0)]


def _guarded(name: str, subject: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of `look`; what stops it is a failing check of its own."""
    try:
        yield from look()
    except (Error, OSError) as error:
        todo = "Is it up (chctl node, docker compose ps)? Are CHCTL_CLICKHOUSE_URL, user and password right?"
        yield Check(name, subject, "fail", f"does not answer: {_short(error)}", todo=todo)
    except (KafkaException, topics.TopicsError) as error:
        todo = "Is it up? Is CHCTL_KAFKA_BROKERS right, and with TLS CHCTL_KAFKA_SECURITY_PROTOCOL and its password?"
        yield Check(name, subject, "fail", f"does not answer: {_short(error)}", todo=todo)
    except ContractError as error:
        yield Check("contracts", name, "fail", _short(error), todo="chctl lint shows the place")


def _short(error: object) -> str:
    return " ".join(str(error).split())[:300]


# --- the node


def _node(s: Settings) -> Iterator[Check]:
    with connect(s, database="", timeout=NODE_TIMEOUT) as client:
        sent = time.time()
        version, clock = client.query("SELECT version(), toUnixTimestamp64Milli(now64(3)) / 1000").result_rows[0]
        back = time.time()
        yield Check("node", s.clickhouse_url, "ok", f"answers in {(back - sent) * 1000:.0f} ms", back - sent, unit="s")
        yield _version(str(version))
        yield skew(float(clock), sent, back)
        yield _schema(s)
        if not select(
            client,
            "SELECT 1 FROM system.tables WHERE database = {d:String} AND name = 'dash_health'",
            d=s.clickhouse_database,
        ):
            yield Check("views", "dash_health", "fail", "is not there", todo="chctl migrate makes it")
            return
        client.database = s.clickhouse_database
        yield from _itself(client)


def _itself(client: Client) -> Iterator[Check]:
    for row in select(client, "SELECT check, subject, status, says, value, bound, unit, todo FROM dash_health"):
        yield Check(**row)


def _version(version: str) -> Check:
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        todo = "Upgrade as docs/operations.md says; views are tested on the release of docker-compose.yml"
        return Check("version", "clickhouse", "fail", f"{version} is older than {wanted}", todo=todo)
    return Check("version", "clickhouse", "ok", version)


def skew(clock: float, sent: float, back: float) -> Check:
    """The node's clock beside ours, all in seconds UTC; how long the answer took is given to its favour."""
    off = max(0.0, abs(clock - (sent + back) / 2) - (back - sent) / 2)
    verdict: Verdict = "fail" if off > SKEW_FAIL else "warn" if off > SKEW_WARN else "ok"
    side = "ahead of" if clock > back else "behind"
    says = f"{off:.1f} s {side} ours" if off > SKEW_WARN else f"within {max(off, (back - sent) / 2):.2f} s of ours"
    todo = "Run chrony or systemd-timesyncd on both: rules judge age by the node's clock, feeders date by theirs"
    return Check("clock", "node", verdict, says, off, SKEW_FAIL, "s", todo)


def _schema(s: Settings) -> Check:
    try:
        found = status.read(s)
    except migrate.ERRORS as error:
        return Check("schema", s.clickhouse_database, "fail", _short(error), todo="chctl status, chctl plan")
    pending = len(found.pending_migrations) + len(found.pending_views)
    if found.stopped_at or found.refusals:
        says = found.stopped_at[0].where if found.stopped_at else found.refusals[0]
        return Check("schema", found.database, "fail", says, todo="chctl status names the statement and how to go on")
    if pending:
        return Check("schema", found.database, "warn", f"{pending} files pending", pending, 0, "files", "chctl plan")
    says = f"{found.migrations} migrations and {found.views} views, as the files have them"
    return Check("schema", found.database, "ok", says, 0, 0, "files")


# --- the broker


def _broker(s: Settings) -> Iterator[Check]:
    contracts = load_all(s.project_dir / "contracts")
    began = time.monotonic()
    plan = topics.read(s, contracts)
    took = time.monotonic() - began
    yield Check("broker", s.kafka_brokers, "ok", f"answers in {took * 1000:.0f} ms", took, unit="s")
    changes = {change.topic: change for change in plan.changes}
    for name in plan.topics:
        if change := changes.get(name):
            missing = change.action == "create"
            says = "is missing" if missing else f"differs from its contract: {change.action} {change.detail}"
            yield Check(
                "topic", name, "fail" if missing else "warn", says, todo="chctl topics plan, chctl topics apply"
            )
        else:
            yield Check("topic", name, "ok", "as its contract says")
    present = [contract for contract in contracts if plan.topics[contract.topic]]
    yield from map(_lag, lag.read(s, groups(present, s)))


def groups(contracts: Iterable[Contract], s: Settings) -> list[tuple[str, str]]:
    """(group, topic) of every standing consumer: the node's Kafka tables, and the feeders' own."""
    named = [(f"chctl.clickhouse.{c.topic}", c.topic) for c in contracts if c.consumers.clickhouse]
    feeders = {f"chctl.alerts.{s.alerts_topic}": s.alerts_topic, "chctl.social.social_raw": "social_raw"}
    known = {contract.topic for contract in contracts}
    return named + [(group, topic) for group, topic in feeders.items() if topic in known]


def _lag(found: lag.Lag) -> Check:
    verdict: Verdict = "ok"
    if found.seconds is None and found.messages:  # it has never committed: nobody reads, or nobody has yet
        verdict = "warn"
    elif found.seconds is not None:
        verdict = "fail" if found.seconds > LAG_FAIL else "warn" if found.seconds > LAG_WARN else "ok"
    says = f"{found.messages} messages behind" if found.messages else "has read everything"
    if found.seconds is not None and found.messages:
        says += f", the oldest waits for {found.seconds:.0f} s"
    elif found.messages:
        says += ", and has read nothing yet"
    todo = (
        "Does the reader live (consumer checks, systemctl status)? If it does, it is too slow: chctl load, chctl sizing"
    )
    return Check("lag", found.group, verdict, says, found.seconds or 0.0, LAG_FAIL, "s", todo)


# --- how it is shown


def lines(checks: Sequence[Check], *, everything: bool = False) -> Iterator[str]:
    """What is not well, each with what to do; then what is, a line a kind (all of it with `everything`)."""
    for one in checks:
        if one.status != "ok":
            yield f"{one.status.upper():<5} {one.check:<10} {one.subject}: {one.says}"
            if one.todo:
                yield f"{'':17}{one.todo}"
    well = sorted((one for one in checks if one.status == "ok"), key=lambda one: (one.check, one.subject))
    for name, each in groupby(well, key=lambda one: one.check):
        found = list(each)
        if everything or len(found) == 1:
            yield from (f"ok    {name:<10} {one.subject}: {one.says}" for one in found)
        else:
            yield f"ok    {name:<10} {len(found)}: {', '.join(one.subject for one in found)}"


def as_dicts(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(one) for one in checks]


class Metrics(Collector):
    """The checks as Prometheus gauges: chctl_health (0 ok, 1 warn, 2 fail) and chctl_health_value in its unit."""

    def __init__(self) -> None:
        self.checks: Sequence[Check] = ()
        self.at = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One look."""
        verdict = GaugeMetricFamily("chctl_health", "0 ok, 1 warn, 2 fail.", labels=["check", "subject"])
        value = GaugeMetricFamily("chctl_health_value", "What was seen.", labels=["check", "subject", "unit"])
        bound = GaugeMetricFamily("chctl_health_bound", "Its limit.", labels=["check", "subject", "unit"])
        for one in self.checks:
            verdict.add_metric([one.check, one.subject], ORDER[one.status])
            if one.value is not None:
                value.add_metric([one.check, one.subject, one.unit], one.value)
            if one.bound is not None:
                bound.add_metric([one.check, one.subject, one.unit], one.bound)
        yield from (verdict, value, bound)
        looked = GaugeMetricFamily("chctl_health_time_seconds", "When chctl looked; stale means it has died.")
        looked.add_metric([], self.at)
        yield looked

    def take(self, checks: Sequence[Check]) -> None:
        """Show these from now on."""
        self.checks, self.at = checks, time.time()


def prometheus(checks: Sequence[Check]) -> str:
    """The text format, for a file that node_exporter collects."""
    from prometheus_client import generate_latest

    metrics, registry = Metrics(), CollectorRegistry()
    metrics.take(checks)
    registry.register(metrics)
    return generate_latest(registry).decode()


def watch(s: Settings, every: float) -> None:
    """Look every so many seconds until SIGTERM; metrics on CHCTL_METRICS_PORT and by OTLP, a log line a change."""
    import structlog
    from prometheus_client import REGISTRY

    from feeders.runtime import Stop, Supervisor, serve_metrics

    log = structlog.get_logger()
    stop, supervisor, metrics = Stop().install(), Supervisor(), Metrics()
    REGISTRY.register(metrics)
    close = serve_metrics(s)
    before: Mapping[tuple[str, str], str] = {}
    while not stop():
        checks = examine(s)
        metrics.take(checks)
        supervisor.ready(f"{sum(one.status == 'fail' for one in checks)} failing")
        supervisor.progress()
        now = {(one.check, one.subject): one.status for one in checks}
        for one in checks:
            if one.status != before.get((one.check, one.subject), "ok"):
                tell = log.info if one.status == "ok" else log.warning if one.status == "warn" else log.error
                tell("health", check=one.check, subject=one.subject, status=one.status, says=one.says, todo=one.todo)
        before = now
        stop.event.wait(every)
    supervisor.stopping()
    close()
