"""`chctl backtest`: what an edited rule would have fired over stored history, beside what the live one did.

The slice of the node's data that the rule is made from is copied into an in-process chDB with the same schema, and fed
to the rule block by block, in event time, through the same views as on the node; `now()` is the end of the block. The
node is only read. Rules judge every second of a block by itself, so a block may be an hour long: a day takes seconds.
Where a rule compares with a dictionary that moves with the stream (what is usual for an account), a block is five
minutes, and the dictionary is read anew before each.

A rule that signals bad seconds says nothing of alerts: its signals then go through the node's own lifecycle views (what
turns `alert_signals` into `alerts`, and what ends them) by the minute, for these raise one alert an entity and block.
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
from chctl.sqltext import ObjectDef, string_value
from chctl.views import read_view

#: Event time fed to a rule at once; the second where it compares with a dictionary that moves with the stream.
BLOCK, MOVING_BLOCK = timedelta(hours=1), timedelta(minutes=5)
#: Signals of an entity that are further apart than this may be two situations. The least resolve_s of the rules.
_SITUATION = timedelta(minutes=1)

_CLOCK = "backtest_clock"
_OUTBOX = "alerts"
_FOUND = "backtest_signals"
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
    rule: str = ""


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


@dataclass(frozen=True)
class Way:
    """How rows reach a rule: the stored table they start from and the views between, the rule's own last."""

    source: str
    views: tuple[ObjectDef, ...]


@dataclass(frozen=True)
class Lifecycle:
    """From a rule's signals to alerts: views that signals trigger, in order, and refreshed ones, which end alerts."""

    triggered: tuple[ObjectDef, ...] = ()
    refreshed: tuple[ObjectDef, ...] = ()


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
        way = find_path(live, view.definition)
        scratch = clickhouse_connect.get_client(interface="chdb", path=folder)
        try:
            run = _Run(node, scratch, database, live, way, view.definition)
            run.build(begin - warmup, end)
            block = block or (MOVING_BLOCK if run.moving else BLOCK)
            run.set_parameters(parameters, block)
            run.feed(begin - warmup, begin, warmup + block)
            run.attach_rule()
            run.feed(begin, end, block)
            run.raise_alerts(begin, end)
            edited = _alerts(scratch, database, run.rules, begin, end)
        finally:
            scratch.close()
        fired = _alerts(node, database, run.rules, begin, end)
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


def find_lifecycle(live: dict[str, Live], rule: ObjectDef) -> Lifecycle:
    """What makes alerts of the rule's rows; empty for a rule that writes alerts itself. Raises MigrateError."""
    if rule.target == _OUTBOX:
        return Lifecycle()
    views = [o.definition() for o in live.values() if o.engine == "MaterializedView"]

    def down(table: str, above: tuple[ObjectDef, ...]) -> tuple[ObjectDef, ...] | None:
        if table == _OUTBOX:
            return above
        for view in views:
            if view.kind == "mv" and view.trigger == table and view not in above and view.target:
                found = down(view.target, (*above, view))
                if found is not None:
                    return found
        return None

    triggered = down(rule.target or "", ())
    if triggered is None:
        raise MigrateError(f"nothing on the node makes alerts of {rule.target}, which {rule.name} writes")
    ends = [v for v in views if v.kind == "refreshable" and v.target == _OUTBOX and rule.target in v.reads]
    return Lifecycle(triggered, tuple(sorted(ends, key=lambda v: v.name)))


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
        self.lifecycle = find_lifecycle(live, rule)
        self.rules: list[str] = []  # those that the file makes
        self.moving: list[str] = []  # dictionaries over streams that are fed
        self.rows = 0
        self.entry = way.views[0].trigger or ""  # where the slice is inserted
        self._times: dict[str, str] = {}  # tables that are fed along with the source, and their time columns

    def build(self, begin: datetime, end: datetime) -> None:
        """Make the schema around the rule and copy the slice [begin, end)."""
        self.scratch.command(f"CREATE DATABASE {self.database} ENGINE = Atomic")
        self.scratch.database = self.database
        self.scratch.command(f"CREATE TABLE {_CLOCK} (t DateTime64(3, 'UTC')) ENGINE = Memory")
        needed = self._needed()
        made = {d.target for d in (*self.way.views, *self.lifecycle.triggered)} | {self.entry, "event_clock"}
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
        dictionaries = [name for name in needed if self.live[name].engine == "Dictionary"]
        self.moving = [name for name in dictionaries if set(self._times) & set(self._needed([name]))]
        if self.rule.target != _OUTBOX:
            self.scratch.command(f"CREATE TABLE {_FOUND} AS {self.rule.target}")
        named = {text for view in self.way.views for token in tokenize(view.query) if (text := string_value(token))}
        if "alert_rules" in needed:
            have = self.scratch.query("SELECT DISTINCT rule FROM alert_rules ORDER BY rule").result_rows
            self.rules = [str(name) for (name,) in have if name in named]
        self.rules = self.rules or [self.rule.name.removeprefix("alert_").removesuffix("_mv")]

    def _needed(self, names: Collection[str] = ()) -> list[str]:
        """Every object that the path reads or writes, or that `names` read, what is read first."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name not in self.live or name in order:
                return
            definition = self.live[name].definition() if self.live[name].engine in ("View", "Dictionary") else None
            for read in sorted(definition.reads) if definition else ():
                visit(read)
            order.append(name)

        for name in names:
            visit(name)
        path = () if names else (*self.way.views, *self.lifecycle.triggered, *self.lifecycle.refreshed)
        for view in path:
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

    def set_parameters(self, parameters: dict[str, float], block: timedelta) -> None:
        """Put `parameters` in place of the rules', for every entity. Raises MigrateError on an unknown one.

        The age from which an event raises nothing any more is counted from the end of its block.
        """
        known: dict[str, set[str]] = {}  # parameter -> rules that have it
        if "alert_rules" in self._needed():
            rules = ", ".join(map(quote_string, self.rules))
            sql = f"SELECT DISTINCT rule, parameter FROM alert_rules WHERE rule IN ({rules})"
            for rule, name in self.scratch.query(sql).result_rows:
                known.setdefault(name, set()).add(rule)
        for rule in sorted(known.get("max_age_s", ())):
            self._set(rule, "max_age_s", f"value + {block.total_seconds()!r}")
        for given, value in parameters.items():
            rule, dot, name = given.rpartition(".")
            having = known.get(name, set())
            if not having or (dot and rule not in having):
                raise MigrateError(
                    f"{rule or ', '.join(self.rules)} has no parameter {name}:"
                    f" {', '.join(sorted(known)) or 'it has none'}"
                )
            if not dot and len(having) > 1:
                raise MigrateError(
                    f"{name} is a parameter of several rules here: write {min(having)}.{name}=..., or one of"
                    f" {', '.join(sorted(having - {min(having)}))}"
                )
            self._set(rule or next(iter(having)), name, repr(value))
        for name in self._needed():
            if self.live[name].engine == "Dictionary":
                self.scratch.command(f"SYSTEM RELOAD DICTIONARY {name}")

    def _set(self, rule: str, parameter: str, value: str) -> None:
        where = f"rule = {quote_string(rule)} AND parameter = {quote_string(parameter)}"
        self.scratch.command(
            f"ALTER TABLE alert_rules UPDATE value = {value} WHERE {where} SETTINGS mutations_sync = 2"
        )

    def attach_rule(self) -> None:
        """Attach the edited rule; baselines are there by now."""
        self.scratch.command(
            f"CREATE MATERIALIZED VIEW {self.rule.name} TO {_OUTBOX if self.rule.target == _OUTBOX else _FOUND}"
            f" AS {clocked(self.rule.query)}"
        )

    def feed(self, begin: datetime, end: datetime, block: timedelta) -> None:
        """Insert the slice's rows of [begin, end), a block at a time, other streams before the one that triggers."""
        shared = {t: list(table_columns(self.scratch, self.database, [t])[t]) for t in (*self._times, self.entry)}
        at = begin
        while at < end:
            upto = min(at + block, end)
            self._set_clock(upto)
            for name in self.moving:
                self.scratch.command(f"SYSTEM RELOAD DICTIONARY {name}")
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

    def raise_alerts(self, begin: datetime, end: datetime) -> None:
        """Let the lifecycle views make alerts of the signals that were found, a minute at a time, and end them."""
        if not self.lifecycle.triggered:
            return
        for view in self.lifecycle.triggered:
            self.scratch.command(f"CREATE MATERIALIZED VIEW {view.name} TO {view.target} AS {clocked(view.query)}")
        step = int(_SITUATION.total_seconds())
        minutes = self.scratch.query(
            f"SELECT DISTINCT toUnixTimestamp(toStartOfInterval(second, INTERVAL {step} SECOND)) AS at FROM {_FOUND}"
            f" WHERE second >= {sql_time(begin)} AND second < {sql_time(end)} ORDER BY at"
        ).result_rows
        for (at,) in minutes:
            self._end_alerts(datetime.fromtimestamp(at, UTC))
            self._set_clock(datetime.fromtimestamp(at + step, UTC))
            self.scratch.command(
                f"INSERT INTO {self.rule.target} SELECT * FROM {_FOUND} WHERE second >= {at} AND second < {at + step}"
            )
        self._end_alerts(end)

    def _end_alerts(self, now: datetime) -> None:
        """What is over by `now`; every stream has come that far."""
        self._set_clock(now)
        if "event_clock" in self._needed():
            self.scratch.command("TRUNCATE TABLE event_clock")
            self.scratch.command(
                f"INSERT INTO event_clock (stream, venue, symbol, event_time) WITH toDateTime({sql_time(now)}) AS t"
                f" SELECT DISTINCT 'book', toString(venue), toString(symbol), t FROM {_OUTBOX}"
                " UNION ALL SELECT 'user', '', '', t UNION ALL SELECT 'social', '', '', t"
            )
        for view in self.lifecycle.refreshed:
            columns = self.scratch.query(f"DESCRIBE ({clocked(view.query)})").result_rows
            names = ", ".join(str(row[0]) for row in columns)
            self.scratch.command(f"INSERT INTO {_OUTBOX} ({names}) {clocked(view.query)}")

    def _set_clock(self, now: datetime) -> None:
        self.scratch.command(f"TRUNCATE TABLE {_CLOCK}")
        self.scratch.command(f"INSERT INTO {_CLOCK} SELECT {sql_time(now)}")


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


def _alerts(client: Client, database: str, rules: Collection[str], begin: datetime, end: datetime) -> list[Alert]:
    rows = client.query(
        "SELECT alert_id, toString(status), entity, toString(started_time), toString(event_time), value, baseline,"
        f" threshold, summary, rule FROM {database}.{_OUTBOX} FINAL"
        f" WHERE rule IN ({', '.join(map(quote_string, rules))})"
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
