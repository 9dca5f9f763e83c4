"""`chctl backtest`: what an edited rule would have fired over stored history, beside what the live one did.

The slice of the node's data that the rule is made from is copied into an in-process chDB with the same schema, and fed
to the rule block by block, in event time, through the same views as on the node; `now()` is the end of the block. The
node is only read. Rules judge every second of a block by itself, so a block may be an hour long: a day takes seconds.
Where a rule compares with a dictionary that moves with the stream (what is usual for an account), a block is a
hundredth of the window, and the dictionary is read anew before each: the node reads it every five to ten seconds.

A rule that signals bad seconds says nothing of alerts: its signals then go through the node's own lifecycle views (what
turns `alert_signals` into `alerts`, and what ends them), situation by situation.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_migrations.schema_dump import quote_string

from chctl.backtest.engine import Engine, sql_time
from chctl.backtest.ways import OUTBOX, find_path
from chctl.migrate import MigrateError
from chctl.node_state import live_objects, opened
from chctl.settings import Settings
from chctl.views import read_view

#: Event time fed to a rule at once.
BLOCK = timedelta(hours=1)
#: The least and the most of it where the rule compares with a dictionary that moves with the stream.
MOVING_BLOCK = timedelta(seconds=10), timedelta(minutes=15)


@dataclass(frozen=True)
class Alert:
    """One row of `alerts`; times are UTC."""

    alert_id: str
    rule: str
    status: str
    entity: str
    started_time: str
    event_time: str
    value: float
    baseline: float
    threshold: float
    summary: str


@dataclass
class Backtest:
    """Both sets of alerts of the rules that one file makes, in [since, until)."""

    rule: str
    since: datetime
    until: datetime
    live: list[Alert]
    edited: list[Alert]
    rows: int  # copied from the node
    seconds: float
    parameters: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), default=str)


def backtest(
    settings: Settings,
    file: Path,
    since: timedelta,
    parameters: dict[str, float],
    *,
    block: timedelta | None = None,
    warmup: timedelta = timedelta(hours=1),
    until: datetime | None = None,
    open_client: Callable[[], Client] | None = None,
) -> Backtest:
    """Run the rule in `file` over the last `since` up to `until` (default: now), with `parameters` in place of its own.

    A parameter is `name`, or `rule.name` where the file makes several rules that have it. `warmup` is the history
    before the window that only builds baselines. Opens an in-process chDB: one engine a process. Raises FileError,
    MigrateError.
    """
    started = time.monotonic()
    view = read_view(file.resolve(), settings.project_dir.resolve())
    rule = view.name.removeprefix("alert_").removesuffix("_mv")
    database = settings.clickhouse_database
    with opened(settings, open_client) as node, tempfile.TemporaryDirectory(prefix="chctl-backtest-") as folder:
        end = until or datetime.fromisoformat(node.query("SELECT toString(now('UTC'))").result_rows[0][0])
        end = end.replace(tzinfo=UTC)
        begin = end - since
        live = live_objects(node, database)
        scratch = clickhouse_connect.get_client(interface="chdb", path=folder)
        try:
            engine = Engine(scratch, node, database, live, find_path(live, view.definition), view.definition)
            engine.build(begin - warmup, end)
            block = block or (moving_block(since) if engine.moving else BLOCK)
            engine.set_parameters(parameters, block)
            engine.feed(begin - warmup, begin, warmup + block)
            engine.attach_rule()
            engine.feed(begin, end, block)
            engine.raise_alerts(begin, end)
            edited = _alerts(scratch, database, engine.rules, begin, end)
        finally:
            scratch.close()
        fired = _alerts(node, database, engine.rules, begin, end)
    return Backtest(rule, begin, end, fired, edited, engine.rows, time.monotonic() - started, parameters)


def moving_block(window: timedelta) -> timedelta:
    """The block for a rule that compares with what is usual just now: about a hundred of them in a window."""
    least, most = MOVING_BLOCK
    return min(max(window / 100, least), most)


def _alerts(client: Client, database: str, rules: Collection[str], begin: datetime, end: datetime) -> list[Alert]:
    rows = client.query(
        "SELECT alert_id, rule, toString(status), entity, toString(started_time), toString(event_time), value,"
        f" baseline, threshold, summary FROM {database}.{OUTBOX} FINAL"
        f" WHERE rule IN ({', '.join(map(quote_string, rules))})"
        f" AND event_time >= {sql_time(begin)} AND event_time < {sql_time(end)} ORDER BY started_time, alert_id, status"
    ).result_rows
    return [Alert(*row) for row in rows]


def duration(text: str) -> timedelta:
    """`90m`, `24h` or `7d`. Raises MigrateError."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise MigrateError(f"{text!r} is no duration: write 30s, 90m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]])


def parameter(text: str) -> tuple[str, float]:
    """`name=1.5`. Raises MigrateError."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise MigrateError(f"{text!r} sets nothing: write parameter=number, such as drop_share=0.7") from error
