"""The engine of a backtest: the schema around one rule, and the slice of the node's rows that drives it."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.schema_dump import quote_string, tokenize

from chctl.backtest.ways import OUTBOX, Way, find_lifecycle
from chctl.migrate import MigrateError
from chctl.node_state import Live, describe, table_columns
from chctl.rebuild import time_column
from chctl.sqltext import ObjectDef, string_value

_CLOCK = "backtest_clock"
_SIGNALS = "backtest_signals"  # what a rule that signals finds
_WAVES = "backtest_waves"  # the same, numbered by situation
_NOW = {"now": "DateTime('UTC')", "now64": "DateTime64(3, 'UTC')", "today": "Date"}


class Engine:
    """An empty in-process engine that becomes the surroundings of one rule."""

    def __init__(
        self, client: Client, node: Client, database: str, live: dict[str, Live], way: Way, rule: ObjectDef
    ) -> None:
        self.client, self.node, self.database, self.live, self.way, self.rule = client, node, database, live, way, rule
        self.lifecycle = find_lifecycle(live, rule)
        self.writes = _SIGNALS if self.lifecycle.triggered else OUTBOX
        self.entry = way.views[0].trigger or ""  # where the slice is inserted
        self.needed = self._needed()
        self.rules: list[str] = []  # those that the file makes
        self.moving: list[str] = []  # dictionaries over streams that are fed
        self.rows = 0
        self._times: dict[str, str] = {}  # tables that are fed along with the source, and their time columns

    def build(self, begin: datetime, end: datetime) -> None:
        """Make the schema around the rule and copy the slice [begin, end)."""
        self.client.command(f"CREATE DATABASE {self.database} ENGINE = Atomic")
        self.client.database = self.database
        self.client.command(f"CREATE TABLE {_CLOCK} (t DateTime64(3, 'UTC')) ENGINE = Memory")
        made = {d.target for d in (*self.way.views, *self.lifecycle.triggered)} | {self.entry, "event_clock"}
        targets = {o.definition().target for o in self.live.values() if o.engine == "MaterializedView"}
        for name in self.needed:
            if self.live[name].engine in ("View", "Dictionary", "MaterializedView", "Kafka"):
                continue
            self.client.command(_without_ttl(self.live[name].create_sql))
            if name not in made and self.live[name].engine != "Null":
                self._copy(name, begin, end, streamed=name in targets)
        self._copy(self.way.source, begin, end, streamed=True)
        for name in self.needed:  # views and dictionaries read what is there by now
            if self.live[name].engine in ("View", "Dictionary"):
                self.client.command(self.live[name].create_sql)
        for view in self.way.views[:-1]:
            self._attach(view.name, view.target or "", view)
        dictionaries = [name for name in self.needed if self.live[name].engine == "Dictionary"]
        self.moving = [name for name in dictionaries if set(self._times) & set(self._needed([name]))]
        if self.lifecycle.triggered:
            self.client.command(f"CREATE TABLE {_SIGNALS} AS {self.rule.target}")
        self.rules = self._find_rules()

    def _find_rules(self) -> list[str]:
        """The rules that the file makes: those of alert_rules that it or a view on its way names, else its own name."""
        named = {text for view in self.way.views for token in tokenize(view.query) if (text := string_value(token))}
        have: list[str] = []
        if "alert_rules" in self.needed:
            rows = self.client.query("SELECT DISTINCT rule FROM alert_rules ORDER BY rule").result_rows
            have = [str(name) for (name,) in rows]
        own = self.rule.name.removeprefix("alert_").removesuffix("_mv")
        return [name for name in have if name in named] or [own]

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
            if not self.client.query(f"EXISTS TABLE {name}").result_rows[0][0]:
                self.client.command(_without_ttl(self.live[name].create_sql))
            self.client.command(f"CREATE TABLE {name}__slice AS {name}")
        data = self.node.raw_query(f"SELECT {picked} FROM {name}{where}", fmt="Native")
        into = f"{name}__slice" if streamed else name
        if data:
            self.client.raw_insert(into, column_names=plain or list(columns), insert_block=data, fmt="Native")
        self.rows += self.client.query(f"SELECT count() FROM {into}").result_rows[0][0]

    def set_parameters(self, parameters: dict[str, float], block: timedelta) -> None:
        """Put `parameters` in place of the rules', for every entity. Raises MigrateError on an unknown one.

        The age from which an event raises nothing any more is counted from the end of its block.
        """
        known: dict[str, set[str]] = {}  # parameter -> rules that have it
        if "alert_rules" in self.needed:
            rules = ", ".join(map(quote_string, self.rules))
            sql = f"SELECT DISTINCT rule, parameter FROM alert_rules WHERE rule IN ({rules})"
            for rule, name in self.client.query(sql).result_rows:
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
        for name in self.needed:
            if self.live[name].engine == "Dictionary":
                self.client.command(f"SYSTEM RELOAD DICTIONARY {name}")

    def _set(self, rule: str, parameter: str, value: str) -> None:
        where = f"rule = {quote_string(rule)} AND parameter = {quote_string(parameter)}"
        self.client.command(f"ALTER TABLE alert_rules UPDATE value = {value} WHERE {where} SETTINGS mutations_sync = 2")

    def attach_rule(self) -> None:
        """Attach the edited rule; baselines are there by now."""
        self._attach(self.rule.name, self.writes, self.rule)

    def _attach(self, name: str, target: str, view: ObjectDef) -> None:
        self.client.command(f"CREATE MATERIALIZED VIEW {name} TO {target} AS {clocked(view.query)}")

    def feed(self, begin: datetime, end: datetime, block: timedelta) -> None:
        """Insert the slice's rows of [begin, end), a block at a time, other streams before the one that triggers."""
        shared = {t: list(table_columns(self.client, self.database, [t])[t]) for t in (*self._times, self.entry)}
        at = begin
        while at < end:
            upto = min(at + block, end)
            self._set_clock(upto)
            for name in self.moving:
                self.client.command(f"SYSTEM RELOAD DICTIONARY {name}")
            others = [t for t in self._times if t != self.way.source]
            for table in (*others, self.way.source):
                into = self.entry if table == self.way.source else table
                columns = ", ".join(c for c in shared[table] if c in shared[into])
                moment = self._times[table]
                self.client.command(
                    f"INSERT INTO {into} ({columns}) SELECT {columns} FROM {table}__slice"
                    f" WHERE {moment} >= {sql_time(at)} AND {moment} < {sql_time(upto)}"
                )
            at = upto

    def raise_alerts(self, begin: datetime, end: datetime) -> None:
        """Let the lifecycle views make alerts of the signals that were found in [begin, end).

        They raise one alert an entity and block, so a block here holds one situation of every entity: the first of
        each, then the second of each, and so on, each ended before the next. Situations of an entity are further apart
        than resolve_s and flap_s of their rule.
        """
        if not self.lifecycle.triggered:
            return
        for view in self.lifecycle.triggered:
            self._attach(view.name, view.target or "", view)
        ends = []
        for view in self.lifecycle.refreshed:
            query = clocked(view.query)
            ends.append(f"INSERT INTO {OUTBOX} ({', '.join(describe(self.client, query))}) {query}")
        self.client.command(_NUMBER.format(sql_time(begin), sql_time(end)))
        (last,) = self.client.query(f"SELECT max(wave) FROM {_WAVES}").result_rows[0]
        for wave in range(1, last + 1):
            self._set_clock(begin)  # by the node's clock no signal is too old here
            self.client.command(
                f"INSERT INTO {self.rule.target} SELECT * EXCEPT wave FROM {_WAVES} WHERE wave = {wave}"
            )
            self._end_alerts(ends, end)

    def _end_alerts(self, ends: list[str], now: datetime) -> None:
        """What is over by `now`; every stream has come that far."""
        self._set_clock(now)
        if "event_clock" in self.needed:
            self.client.command("TRUNCATE TABLE event_clock")
            self.client.command(
                f"INSERT INTO event_clock (stream, venue, symbol, event_time) WITH toDateTime({sql_time(now)}) AS t"
                f" SELECT DISTINCT 'book', toString(venue), toString(symbol), t FROM {OUTBOX}"
                " UNION ALL SELECT 'user', '', '', t UNION ALL SELECT 'social', '', '', t"
            )
        for statement in ends:
            self.client.command(statement)

    def _set_clock(self, now: datetime) -> None:
        self.client.command(f"TRUNCATE TABLE {_CLOCK}")
        self.client.command(f"INSERT INTO {_CLOCK} SELECT {sql_time(now)}")


_PLAIN = (
    "SELECT name FROM system.columns WHERE database = '{}' AND table = '{}'"
    " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position"
)
_NUMBER = f"""
CREATE TABLE {_WAVES} ENGINE = Memory AS
SELECT
    * EXCEPT (before, resolve_s, flap_s, begins),
    sum(begins) OVER (PARTITION BY rule, entity ORDER BY second) AS wave
FROM
(
    SELECT
        *,
        lagInFrame(second) OVER (PARTITION BY rule, entity ORDER BY second
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before,
        dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'resolve_s'), 60.) AS resolve_s,
        dictGetOrDefault('alert_thresholds', 'value', (rule, '*', 'flap_s'), 60.) AS flap_s,
        second > before + toUInt32(resolve_s + flap_s) AS begins
    FROM {_SIGNALS}
    WHERE (second >= {{}}) AND (second < {{}})
)
"""


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
