"""`chctl backtest`: what an edited rule would have fired over stored history, beside what the live one did.

The slice of the node's data that the rule is made from is copied into an in-process chDB with the same schema, and fed
to the rule block by block, in event time, through the same views as on the node; `now()` is the end of the block. The
node is only read. Rules judge every second of a block by itself, so a block may be an hour long: a day takes seconds.
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
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_migrations.schema_dump import quote_string, tokenize

from chctl.migrate import MigrateError
from chctl.node_state import Live, live_objects, opened, table_columns
from chctl.rebuild import time_column
from chctl.settings import Settings
from chctl.sqltext import ObjectDef
from chctl.views import read_view

_CLOCK = "backtest_clock"
_NOW = {"now": "DateTime('UTC')", "now64": "DateTime64(3, 'UTC')", "today": "Date"}


@dataclass(frozen=True)
class Alert:
    """One row of `alerts`; times are UTC."""

    alert_id: str
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
    """Both sets of alerts of one rule in [since, until)."""

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


@dataclass(frozen=True)
class Way:
    """How rows reach a rule: the stored table they start from and the views between, the rule's own last."""

    source: str
    views: tuple[ObjectDef, ...]


def backtest(
    settings: Settings,
    file: Path,
    since: timedelta,
    parameters: dict[str, float],
    *,
    block: timedelta = timedelta(hours=1),
    warmup: timedelta = timedelta(hours=1),
    until: datetime | None = None,
    open_client: Callable[[], Client] | None = None,
) -> Backtest:
    """Run the rule in `file` over the last `since` up to `until` (default: now), with `parameters` in place of its own.

    `warmup` is the history before it that only builds baselines. Opens an in-process chDB: one engine a process.
    Raises FileError, MigrateError.
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
        way = find_path(live, view.definition)
        scratch = clickhouse_connect.get_client(interface="chdb", path=folder)
        try:
            run = _Run(node, scratch, database, live, way, view.definition)
            run.build(begin - warmup, end)
            run.set_parameters(rule, parameters, block)
            run.feed(begin - warmup, begin, warmup + block)
            run.attach_rule()
            run.feed(begin, end, block)
            edited = _alerts(scratch, database, rule, begin, end)
        finally:
            scratch.close()
        fired = _alerts(node, database, rule, begin, end)
    return Backtest(rule, begin, end, fired, edited, run.rows, time.monotonic() - started, parameters)


def find_path(live: dict[str, Live], rule: ObjectDef) -> Way:
    """From the rule's trigger up to the stored table that its rows come from. Raises MigrateError."""
    writers = [d for o in live.values() if o.engine == "MaterializedView" and (d := o.definition()).kind == "mv"]
    trigger = rule.trigger or ""
    if trigger not in live:
        raise MigrateError(f"{rule.name} is triggered by {trigger}, which the node has not: run `chctl migrate`")

    def up(table: str, below: tuple[ObjectDef, ...]) -> Way | None:
        """The way from a stored table down to `table`, then `below`."""
        if table not in live or any(view.trigger == table for view in below[1:]):
            return None
        if "MergeTree" in live[table].engine:
            return Way(table, below)
        above = (up(str(d.trigger), (d, *below)) for d in writers if d.target == table)
        found = next((way for way in above if way is not None), None)
        beside = stored_beside(live, table, {view.target for view in below})
        return found or (Way(beside[0], below) if beside else None)

    way = up(trigger, (rule,))
    if way is None:
        raise MigrateError(f"nothing on the node stores the rows of {trigger}: {rule.name} cannot be run over history")
    return way


def stored_beside(live: dict[str, Live], table: str, below: Collection[str | None]) -> list[str]:
    """Stored tables that keep the rows of a Null table as they are, the one with the most columns first."""
    if live[table].engine != "Null":
        return []
    have = {name for name, _ in live[table].definition().columns}
    found: list[tuple[int, str]] = []
    for other in live.values():
        if other.engine != "MaterializedView":
            continue
        definition = other.definition()
        target = live.get(definition.target or "")
        if definition.trigger != table or target is None or target.name in below:
            continue
        if "ReplacingMergeTree" not in target.engine:
            continue
        shared = have & {name for name, _ in target.definition().columns}
        if len(shared) * 2 > len(have):
            found.append((-len(shared), target.name))
    return [name for _, name in sorted(found)]


class _Run:
    """The scratch engine: the schema around one rule, and the slice of rows that drives it."""

    def __init__(
        self, node: Client, scratch: Client, database: str, live: dict[str, Live], way: Way, rule: ObjectDef
    ) -> None:
        self.node, self.scratch, self.database, self.live, self.way, self.rule = (
            node,
            scratch,
            database,
            live,
            way,
            rule,
        )
        self.rows = 0
        self.entry = way.views[0].trigger or ""  # where the slice is inserted
        self._times: dict[str, str] = {}  # tables that are fed along with the source, and their time columns

    def build(self, begin: datetime, end: datetime) -> None:
        """Make the schema around the rule and copy the slice [begin, end)."""
        self.scratch.command(f"CREATE DATABASE {self.database} ENGINE = Atomic")
        self.scratch.database = self.database
        self.scratch.command(f"CREATE TABLE {_CLOCK} (t DateTime64(3, 'UTC')) ENGINE = Memory")
        needed = self._needed()
        made = {d.target for d in self.way.views} | {self.entry}
        targets = {o.definition().target for o in self.live.values() if o.engine == "MaterializedView"}
        for name in needed:
            if self.live[name].engine in ("View", "Dictionary", "MaterializedView"):
                continue
            sql = self.live[name].create_sql
            if self.live[name].engine == "Kafka":
                continue
            self.scratch.command(_without_ttl(sql))
            if name not in made and self.live[name].engine != "Null":
                self._copy(name, begin, end, streamed=name in targets)
        self._copy(self.way.source, begin, end, streamed=True)
        for name in needed:  # views and dictionaries read what is there by now
            if self.live[name].engine in ("View", "Dictionary"):
                self.scratch.command(self.live[name].create_sql)
        for view in self.way.views[:-1]:
            self.scratch.command(f"CREATE MATERIALIZED VIEW {view.name} TO {view.target} AS {clocked(view.query)}")

    def _needed(self) -> list[str]:
        """Every object the path reads or writes, what is read first."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name not in self.live or name in order:
                return
            definition = self.live[name].definition() if self.live[name].engine in ("View", "Dictionary") else None
            for read in sorted(definition.reads) if definition else ():
                visit(read)
            order.append(name)

        for view in self.way.views:
            for name in (*sorted(view.reads), view.target or ""):
                visit(name)
        return order

    def _copy(self, name: str, begin: datetime, end: datetime, *, streamed: bool) -> None:
        """Copy a table: a stream's slice to a stage of its own, anything else whole."""
        columns = table_columns(self.node, self.database, [name])[name]
        plain = [row[0] for row in self.node.query(_PLAIN.format(self.database, name)).result_rows]
        picked = ", ".join(plain or columns)
        where = ""
        if streamed:
            self._times[name] = time_column(self.node, self.database, self.live[name])
            where = f" WHERE {self._times[name]} >= {sql_time(begin)} AND {self._times[name]} < {sql_time(end)}"
            if not self.scratch.query(f"EXISTS TABLE {name}").result_rows[0][0]:
                self.scratch.command(_without_ttl(self.live[name].create_sql))
            self.scratch.command(f"CREATE TABLE {name}__slice AS {name}")
        data = self.node.raw_query(f"SELECT {picked} FROM {name}{where}", fmt="Native")
        into = f"{name}__slice" if streamed else name
        if data:
            self.scratch.raw_insert(into, column_names=plain or list(columns), insert_block=data, fmt="Native")
        self.rows += self.scratch.query(f"SELECT count() FROM {into}").result_rows[0][0]

    def set_parameters(self, rule: str, parameters: dict[str, float], block: timedelta) -> None:
        """Put `parameters` in place of the rule's, for every entity. Raises MigrateError on an unknown one.

        The age from which an event raises nothing any more is counted from the end of its block.
        """
        known = (
            {
                row[0]
                for row in self.scratch.query(
                    f"SELECT DISTINCT parameter FROM alert_rules WHERE rule = {quote_string(rule)}"
                ).result_rows
            }
            if "alert_rules" in self._needed()
            else set()
        )
        if "max_age_s" in known:
            self.scratch.command(
                f"ALTER TABLE alert_rules UPDATE value = value + {block.total_seconds()!r}"
                f" WHERE rule = {quote_string(rule)} AND parameter = 'max_age_s' SETTINGS mutations_sync = 2"
            )
        for name, value in parameters.items():
            if name not in known:
                raise MigrateError(f"{rule} has no parameter {name}: {', '.join(sorted(known)) or 'it has none'}")
            where = f"rule = {quote_string(rule)} AND parameter = {quote_string(name)}"
            self.scratch.command(
                f"ALTER TABLE alert_rules UPDATE value = {value!r} WHERE {where} SETTINGS mutations_sync = 2"
            )
        for name in self._needed():
            if self.live[name].engine == "Dictionary":
                self.scratch.command(f"SYSTEM RELOAD DICTIONARY {name}")

    def attach_rule(self) -> None:
        """Attach the edited rule; baselines are there by now."""
        self.scratch.command(
            f"CREATE MATERIALIZED VIEW {self.rule.name} TO {self.rule.target} AS {clocked(self.rule.query)}"
        )

    def feed(self, begin: datetime, end: datetime, block: timedelta) -> None:
        """Insert the slice's rows of [begin, end), a block at a time, other streams before the one that triggers."""
        shared = {t: list(table_columns(self.scratch, self.database, [t])[t]) for t in (*self._times, self.entry)}
        at = begin
        while at < end:
            upto = min(at + block, end)
            self.scratch.command(f"TRUNCATE TABLE {_CLOCK}")
            self.scratch.command(f"INSERT INTO {_CLOCK} SELECT {sql_time(upto)}")
            others = [t for t in self._times if t != self.way.source]
            for table in (*others, self.way.source):
                into = self.entry if table == self.way.source else table
                columns = ", ".join(c for c in shared[table] if c in shared[into])
                moment = self._times[table]
                self.scratch.command(
                    f"INSERT INTO {into} ({columns}) SELECT {columns} FROM {table}__slice"
                    f" WHERE {moment} >= {sql_time(at)} AND {moment} < {sql_time(upto)}"
                )
            at = upto


_PLAIN = (
    "SELECT name FROM system.columns WHERE database = '{}' AND table = '{}'"
    " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position"
)


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


def sql_time(moment: datetime) -> str:
    """A moment as SQL, UTC."""
    return f"toDateTime64('{moment:%Y-%m-%d %H:%M:%S.%f}', 3, 'UTC')"


def clocked(query: str) -> str:
    """The query with the wall clock replaced by the clock of the backtest."""
    tokens = tokenize(query)
    out: list[str] = []
    i = 0
    while i < len(tokens):
        type_ = _NOW.get(tokens[i].text) if tokens[i].kind == "word" else None
        if type_ and i + 1 < len(tokens) and tokens[i + 1].text == "(":
            while tokens[i].text != ")":
                i += 1
            out.append(f"assumeNotNull((SELECT CAST(max(t), {quote_string(type_)}) FROM {_CLOCK}))")
        else:
            out.append(tokens[i].text)
        i += 1
    return "".join(out)


def _without_ttl(create_sql: str) -> str:
    """The CREATE without its TTL, so that a merge does not drop old history while it is replayed."""
    return re.sub(r"\bTTL\b.*?(?=\bSETTINGS\b|\bCOMMENT\b|$)", "", create_sql, flags=re.DOTALL)


def _alerts(client: Client, database: str, rule: str, begin: datetime, end: datetime) -> list[Alert]:
    rows = client.query(
        "SELECT alert_id, toString(status), entity, toString(started_time), toString(event_time), value, baseline,"
        f" threshold, summary FROM {database}.alerts FINAL WHERE rule = {quote_string(rule)}"
        f" AND event_time >= {sql_time(begin)} AND event_time < {sql_time(end)} ORDER BY started_time, alert_id, status"
    ).result_rows
    return [Alert(*row) for row in rows]


def show(result: Backtest, width: int = 72) -> str:
    """The two sets of alerts as time lines and as a list."""
    span = (result.until - result.since).total_seconds()
    lines = [
        f"{result.rule}: {result.since:%Y-%m-%d %H:%M} to {result.until:%Y-%m-%d %H:%M} UTC, {result.rows:,} rows,"
        f" {result.seconds:.1f} s" + "".join(f", {k}={v:g}" for k, v in result.parameters.items())
    ]
    for entity in sorted({a.entity for a in (*result.live, *result.edited)}):
        lines.append(entity)
        for label, alerts in (("live", result.live), ("edited", result.edited)):
            bar = ["·"] * width
            for begin, end in spans(alerts, entity, result.until):
                first = int(max(0.0, (begin - result.since).total_seconds()) / span * width)
                last = int((end - result.since).total_seconds() / span * width)
                for i in range(min(first, width - 1), min(max(last, first), width - 1) + 1):
                    bar[i] = "█"
            lines.append(
                f"  {label:<7}{''.join(bar)} {sum(a.status == 'firing' for a in alerts if a.entity == entity)}"
            )
    ours, theirs = ({a.alert_id: a for a in alerts if a.status == "firing"} for alerts in (result.edited, result.live))
    for label, ids in (
        ("only live", theirs.keys() - ours.keys()),
        ("only edited", ours.keys() - theirs.keys()),
        ("both", ours.keys() & theirs.keys()),
    ):
        found = sorted(((ours.get(i) or theirs[i]) for i in ids), key=lambda a: a.started_time)
        lines.append(f"{label}: {len(found)}")
        lines += [f"  {a.started_time} {a.summary}" for a in found]
    return "\n".join(lines)


def spans(alerts: list[Alert], entity: str, until: datetime) -> list[tuple[datetime, datetime]]:
    """When an entity was in alarm: from each start to its end, or to `until` where it has none."""
    ends = {a.alert_id: _moment(a.event_time) for a in alerts if a.status == "resolved"}
    return [
        (_moment(a.started_time), ends.get(a.alert_id, until))
        for a in alerts
        if a.entity == entity and a.status == "firing"
    ]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plot(result: Backtest, path: Path) -> None:
    """Write both time lines as a PNG, an entity a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import dates
    from matplotlib import pyplot as plt

    entities = sorted({a.entity for a in (*result.live, *result.edited)}) or ["no alerts"]
    figure, axes = plt.subplots(figsize=(11, 1.5 + 0.7 * len(entities)), layout="constrained")
    number: Any = dates.date2num
    for row, entity in enumerate(entities):
        for offset, colour, alerts in ((0.2, "tab:grey", result.live), (-0.2, "tab:red", result.edited)):
            bars = [(number(a), max(number(b) - number(a), 1e-5)) for a, b in spans(alerts, entity, result.until)]
            axes.broken_barh(bars, (row + offset - 0.18, 0.36), facecolors=colour, edgecolor=colour)
    axes.set_yticks(range(len(entities)), entities)
    axes.set_xlim(number(result.since), number(result.until))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    changed = ", ".join(f"{k}={v:g}" for k, v in result.parameters.items())
    axes.set_title(f"{result.rule}: live (grey) and edited (red){': ' + changed if changed else ''}, UTC", loc="left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
