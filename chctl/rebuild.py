"""`chctl rebuild`: recompute a window of a rollup from the raw table behind it; `--check` only compares.

The recomputation is the rollup's own view, with the Null table it is triggered by replaced by the stored rows of the
same stream (FINAL, so that a row delivered twice counts once). All partitions (days) of the window are built beside the
rollup first, then put in their places by REPLACE PARTITION, the oldest first: readers see each day change at once, and
the days of a longer window one after the other within moments. (ClickHouse replaces one partition atomically, not
several; exchanging whole tables would be one step, but loses what views write to the old one in that moment.) Rows that
arrived while the days were being built are computed in before that, and those of the very moment afterwards, which a
reader sees as if they had come then; the rollups' states ignore repeats, so doing so twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.schema_dump import identifier_value, quote_string, tokenize

from chctl.changes import engine_part
from chctl.clickhouse import connect
from chctl.lock import Lock
from chctl.migrate import MigrateError
from chctl.node_state import Live, live_objects, opened, table_columns
from chctl.settings import Settings
from chctl.sqltext import significant

#: No bucket of a rollup is wider: the raw rows of a window are read this much beyond its ends.
WIDEST_BUCKET_S = 3600
#: Raw rows that reached the node up to this long before the rebuild began are computed in again afterwards.
OVERLAP_S = 60


@dataclass(frozen=True)
class Source:
    """How to recompute a rollup."""

    rollup: str
    view: str
    raw: str  # the stored table that is read instead of the view's trigger
    time: str  # time column of the rollup
    raw_time: str
    query: str  # the view's SELECT with {raw} in place of its trigger

    def select(self, where: str) -> str:
        """The view's SELECT over the raw rows that satisfy `where`."""
        rows = f"SELECT *, '' AS reject_reason FROM {self.raw} FINAL WHERE {where}"
        # What a table computes from what it stores is one of its columns too.
        return self.query.replace("{raw}", f"({rows} SETTINGS asterisk_include_alias_columns = 1)")

    def window(self, start: str, end: str) -> str:
        """The view's SELECT over the raw rows behind the rollup's window [start, end), both SQL times."""
        wide = (
            f"{self.raw_time} >= {start} - INTERVAL {WIDEST_BUCKET_S} SECOND"
            f" AND {self.raw_time} < {end} + INTERVAL {WIDEST_BUCKET_S} SECOND"
        )
        return f"SELECT * FROM ({self.select(wide)}) WHERE {self.time} >= {start} AND {self.time} < {end}"


@dataclass
class Result:
    """What a rebuild found in its window."""

    rollup: str
    rows: int  # of the window, recomputed
    different: int  # rows of the window that are not as recomputed, on either side
    rebuilt: bool
    partitions: list[str] = field(default_factory=list)  # ids of those replaced, in that order: each at once

    def __str__(self) -> str:
        state = "rebuilt" if self.rebuilt else "compared"
        text = f"{self.rollup}: {state} {self.rows:,} rows, {self.different:,} differed"
        if len(self.partitions) > 1:
            text += f"; {len(self.partitions)} partitions were replaced one after the other, each at once"
        return text


def substitute(query: str, table: str, replacement: str) -> str:
    """`query` with every reference to `table` (also `db.table`) replaced; strings and other names stay."""
    tokens = tokenize(query)
    out: list[str] = []
    for i, token in enumerate(tokens):
        qualifies = i + 1 < len(tokens) and tokens[i + 1].text == "."
        if identifier_value(token) == table and not qualifies:
            if len(out) >= 2 and out[-1] == ".":
                del out[-2:]
            out.append(replacement)
        else:
            out.append(token.text)
    return "".join(out)


def find_source(client: Client, database: str, rollup: str) -> Source:
    """Find the view that fills `rollup` and the stored table to recompute it from. Raises MigrateError."""
    live = live_objects(client, database)
    if rollup not in live:
        raise MigrateError(f"{database} has no table {rollup}: `chctl status` shows what is applied")
    views = {n: o.definition() for n, o in live.items() if o.engine == "MaterializedView"}
    writers = [d for d in views.values() if d.target == rollup and d.kind == "mv"]
    if len(writers) != 1 or writers[0].trigger is None:
        names = ", ".join(d.name for d in writers) or "no view"
        raise MigrateError(f"{rollup} is filled by {names}: a rebuild needs exactly one materialized view")
    view, trigger = writers[0], str(writers[0].trigger)
    candidates = [trigger, *sorted(str(d.target) for d in views.values() if d.trigger == trigger and d.target)]
    query = substitute(view.query, trigger, "{raw}")
    tried = []
    for raw in dict.fromkeys(candidates):
        if raw == rollup or raw not in live or "MergeTree" not in live[raw].engine:
            continue
        try:
            time = time_column(client, database, live[raw])
            source = Source(rollup, view.name, raw, time_column(client, database, live[rollup]), time, query)
            client.query(f"DESCRIBE TABLE ({source.select('1')})")
        except ClickHouseError as error:
            tried.append(f"{raw}: {str(error).partition('DB::Exception: ')[2][:120]}")
        except MigrateError as error:
            tried.append(str(error))
        else:
            return source
    detail = "\n  ".join(tried)
    raise MigrateError(f"no stored table has the columns that {view.name} reads from {trigger}\n  {detail}".rstrip())


def time_column(client: Client, database: str, table: Live) -> str:
    """The time column a table is partitioned or sorted by. Raises MigrateError."""
    columns = table_columns(client, database, [table.name])[table.name]
    clause = table.definition().engine_clause
    for part in ("PARTITION BY", "ORDER BY"):
        for token in significant(engine_part(clause, part)):
            name = identifier_value(token)
            if name in columns and columns[name].startswith(("DateTime", "Date")):
                return name
    raise MigrateError(
        f"{table.name} is neither partitioned nor sorted by a time column: it cannot be rebuilt by window"
    )


def rebuild(
    settings: Settings,
    rollup: str,
    start: datetime,
    end: datetime,
    *,
    check: bool = False,
    open_client: Callable[[], Client] | None = None,
) -> Result:
    """Recompute rows of `rollup` with start <= time < end, both UTC; with `check` only count what differs.

    Raises what `chctl.migrate.ERRORS` names.
    """
    if start >= end:
        raise MigrateError(f"--from {start} is not before --to {end}")
    database = settings.clickhouse_database
    opener = open_client or (lambda: connect(settings, database=""))
    with opened(settings, opener) as client:
        source = find_source(client, database, rollup)
        bounds = [f"toDateTime64('{t:%Y-%m-%d %H:%M:%S}', 3, 'UTC')" for t in (start, end)]
        result = _compare(client, database, source, bounds[0], bounds[1])
        if check:
            return result
        with Lock(opener, database).held(client, 60):
            result.partitions = _replace(client, database, source, bounds[0], bounds[1])
        result.rebuilt = True
        return result


def _final(client: Client, database: str, source: Source, rows: str) -> str:
    """One row a key with the states finalized, to compare two sets of rows of the rollup."""
    columns = table_columns(client, database, [source.rollup])[source.rollup]
    sorting = client.query(
        f"SELECT sorting_key, engine FROM system.tables WHERE database = {quote_string(database)}"
        f" AND name = {quote_string(source.rollup)}"
    ).result_rows[0]
    keys = [k.strip() for k in sorting[0].split(",")]
    parts = []
    for name, type_ in columns.items():
        if name in keys:
            parts.append(f"toString({name}) AS k_{name}")
            continue
        state = re.match(r"(Simple)?AggregateFunction\((\w+(?:\([^)]*\))?)", type_)
        if state and not state[1]:
            value = f"{state[2]}Merge({name})" if "(" not in state[2] else _parametric(state[2], name)
            if state[2].startswith("groupUniqArray"):  # a set, which comes in any order
                value = f"arraySort({value})"
        elif state:
            value = f"{state[2]}({name})"
        else:
            value = f"sum({name})" if "Summing" in sorting[1] else f"any({name})"
        parts.append(f"toString({value}) AS v_{name}")
    return f"SELECT {', '.join(parts)} FROM ({rows}) GROUP BY {', '.join(keys)}"


def _parametric(function: str, column: str) -> str:
    """`quantiles(0.5)` over a state column: `quantilesMerge(0.5)(column)`."""
    name, _, arguments = function.partition("(")
    return f"{name}Merge({arguments}({column})"


def _compare(client: Client, database: str, source: Source, start: str, end: str) -> Result:
    live = f"SELECT * FROM {source.rollup} WHERE {source.time} >= {start} AND {source.time} < {end}"
    columns = ", ".join(
        name if "AggregateFunction" in type_ else f"CAST({name}, {quote_string(type_)}) AS {name}"
        for name, type_ in table_columns(client, database, [source.rollup])[source.rollup].items()
    )
    ours = _final(client, database, source, live)
    theirs = _final(client, database, source, f"SELECT {columns} FROM ({source.window(start, end)})")
    rows = client.query(f"SELECT count() FROM ({theirs})").result_rows[0][0]
    different = client.query(_differing(ours, theirs)).result_rows[0][0]
    return Result(source.rollup, rows, different, False)


def _differing(ours: str, theirs: str) -> str:
    """Counts rows that stand on one side only."""
    return f"SELECT (SELECT count() FROM ({ours} EXCEPT {theirs})) + (SELECT count() FROM ({theirs} EXCEPT {ours}))"


def _replace(client: Client, database: str, source: Source, start: str, end: str) -> list[str]:
    """Build the partitions of the window beside the rollup, put them in its place and return their ids."""
    shadow = f"{source.rollup}__rebuild"
    began = client.query("SELECT toString(now64(3, 'UTC'))").result_rows[0][0]
    columns = ", ".join(table_columns(client, database, [source.rollup])[source.rollup])
    client.command(f"DROP TABLE IF EXISTS {shadow}")
    client.command(f"CREATE TABLE {shadow} AS {source.rollup}")
    try:
        key = client.query(
            f"SELECT partition_key FROM system.tables WHERE database = {quote_string(database)}"
            f" AND name = {quote_string(source.rollup)}"
        ).result_rows[0][0]
        inside = f"{source.time} >= {start} AND {source.time} < {end}"
        partitions = f"SELECT DISTINCT {key or 'tuple()'} AS p FROM {source.rollup} WHERE {inside}"
        in_days = f"{key} IN ({partitions})" if key else "1"
        client.command(
            f"INSERT INTO {shadow} ({columns}) SELECT {columns} FROM {source.rollup} WHERE {in_days} AND NOT ({inside})"
        )
        client.command(f"INSERT INTO {shadow} ({columns}) SELECT {columns} FROM ({source.window(start, end)})")
        again = client.query("SELECT toString(now64(3, 'UTC'))").result_rows[0][0]
        _catch_up(client, database, source, columns, began, shadow, f"AND {inside}")
        ids = client.query(
            "SELECT DISTINCT partition_id FROM system.parts"
            f" WHERE database = {quote_string(database)} AND table = {quote_string(shadow)} AND active"
        ).result_rows
        gone = client.query(f"SELECT DISTINCT _partition_id FROM {source.rollup} WHERE {inside}").result_rows
        replaced = sorted({str(row[0]) for row in (*ids, *gone)})
        for partition in replaced:
            client.command(f"ALTER TABLE {source.rollup} REPLACE PARTITION ID '{partition}' FROM {shadow}")
        _catch_up(client, database, source, columns, again, source.rollup)
        return replaced
    finally:
        client.command(f"DROP TABLE IF EXISTS {shadow}")


def _catch_up(
    client: Client, database: str, source: Source, columns: str, began: str, into: str, only: str = ""
) -> None:
    """Compute into a table again what reached the raw table since a moment; `only` narrows the rows."""
    raw_columns = table_columns(client, database, [source.raw])[source.raw]
    since = f"toDateTime64('{began}', 3, 'UTC') - INTERVAL {OVERLAP_S} SECOND"
    arrived = "ingest_time" if "ingest_time" in raw_columns else source.raw_time
    buckets = f"SELECT DISTINCT {source.time} FROM ({source.select(f'{arrived} >= {since}')})"
    oldest = client.query(
        f"SELECT count(), toString(min({source.raw_time})) FROM {source.raw} WHERE {arrived} >= {since}"
    ).result_rows[0]
    if not oldest[0]:
        return
    wide = f"{source.raw_time} >= toDateTime64('{oldest[1]}', 3, 'UTC') - INTERVAL {WIDEST_BUCKET_S} SECOND"
    client.command(
        f"INSERT INTO {into} ({columns}) SELECT {columns} FROM ({source.select(wide)})"
        f" WHERE {source.time} IN ({buckets}) {only}"
    )
