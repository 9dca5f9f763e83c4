"""`chctl dashboards check`: every panel asked of a node, as Grafana asks and as the page asks, and its answer held to
what its kind needs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from clickhouse_connect.driver.query import QueryResult
from rich.table import Table

from chctl.dashboards.macros import Moment, expand, parametrize
from chctl.dashboards.model import Dashboard, Panel, Variable

#: Steps across a chart, as wide as a screen: a point a few pixels.
STEPS = 240
_NUMBER = re.compile(r"(?:Nullable\()?(?:U?Int\d+|Float\d+|Decimal)")
_TIME = re.compile(r"(?:Nullable\()?DateTime")


@dataclass(frozen=True)
class Answer:
    """What a node answered to a panel. `problem` is empty where all is well."""

    dashboard: str
    panel: str
    rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0
    elapsed_ms: float = 0
    problem: str = ""


def moment(seconds: int, to_ms: int | None = None, **variables: str) -> Moment:
    """The last `seconds` (until `to_ms`), in as many steps as a chart shows."""
    end = int(time.time() * 1000) if to_ms is None else to_ms
    return Moment(end - seconds * 1000, end, max(1, -(-seconds // STEPS)), variables)


def choose(client: Client, variables: list[Variable], at: Moment) -> Moment:
    """The moment with the first value of each variable that has none yet, as a dashboard opens with."""
    chosen = dict(at.variables)
    for variable in variables:
        if variable.name not in chosen:
            now = Moment(at.from_ms, at.to_ms, at.step_s, chosen)
            rows = as_the_page(client, variable.sql, now).result_rows if variable.sql else []
            chosen[variable.name] = str(rows[0][0]) if rows else ""
    return Moment(at.from_ms, at.to_ms, at.step_s, chosen)


def as_grafana(client: Client, sql: str, at: Moment) -> QueryResult:
    """The rows that Grafana would get. Raises clickhouse_connect's errors."""
    return client.query(expand(sql, at))


def as_the_page(client: Client, sql: str, at: Moment) -> QueryResult:
    """The rows that the page would get. Raises clickhouse_connect's errors."""
    parameters: dict[str, Any] = {"from_ms": at.from_ms, "to_ms": at.to_ms, "step_s": at.step_s, **at.variables}
    statement = parametrize(sql)
    used = {name: value for name, value in parameters.items() if f"{{{name}:" in statement}
    return client.query(statement, parameters=used)


def ask(client: Client, dashboards: list[Dashboard], at: Moment) -> Iterator[Answer]:
    """The answer of each panel, as Grafana asks."""
    for dashboard in dashboards:
        try:
            chosen = choose(client, dashboard.variables, at)
        except Error as error:
            yield Answer(dashboard.uid, "(variables)", problem=str(error).splitlines()[0])
            continue
        for panel in dashboard.panels:
            began = time.monotonic()
            try:
                result = as_grafana(client, panel.sql, chosen)
            except Error as error:
                yield Answer(dashboard.uid, panel.id, problem=str(error).splitlines()[0])
                continue
            yield Answer(
                dashboard.uid,
                panel.id,
                result.row_count,
                int(result.summary.get("read_rows", 0)),
                int(result.summary.get("read_bytes", 0)),
                round((time.monotonic() - began) * 1000, 1),
                misshapen(panel, result),
            )


def misshapen(panel: Panel, result: QueryResult) -> str:
    """What of the answer's shape its kind cannot show, or nothing."""
    if not result.column_names:  # an answer without a block has no columns either
        return ""
    names = list(result.column_names)
    types = [kind.name.removeprefix("LowCardinality(") for kind in result.column_types]
    numbers = [bool(_NUMBER.match(kind)) for kind in types]
    if panel.kind == "tile":
        return "" if result.row_count <= 1 and numbers == [True] else f"a tile is one number, not {names} {types}"
    if panel.kind in ("lines", "bars", "heatmap"):
        if names[0] != "time" or not _TIME.match(types[0]):
            return f"its first column is time, a DateTime, not {names[0]} {types[0]}"
        label = {"heatmap": "price"}.get(panel.kind, "series")
        named = label in names[1:2] and types[1].startswith("String")
        values = numbers[2:] if named else numbers[1:]
        if not all(values) or (named and len(values) != 1) or not values or (panel.kind == "heatmap" and not named):
            return f"time, then numbers, or time, {label} (a String) and one number, not {names} {types}"
        times = [row[0] for row in result.result_rows]
        if times != sorted(times):
            return "its rows are not in the order of time"
        strangers = panel.tones.keys() - names
    elif panel.kind == "ladder":
        if names != ["side", "price", "quantity", "total"] or numbers != [False, True, True, True]:
            return f"a ladder is side, price, quantity, total, not {names} {types}"
        strangers = set()
    else:
        strangers = panel.columns.keys() - names
        unnamed = [name for name in names if name not in panel.columns]
        if unnamed:
            return f"columns without a title: {unnamed}"
    return f"names what is no column: {sorted(strangers)}" if strangers else ""


def table(answers: list[Answer]) -> Table:
    """For a terminal."""
    shown = Table()
    for heading in ("dashboard", "panel", "rows", "rows read", "MB read", "ms", "problem"):
        shown.add_column(heading, justify="left" if heading in ("dashboard", "panel", "problem") else "right")
    for a in answers:
        numbers = (f"{a.rows:,}", f"{a.read_rows:,}", f"{a.read_bytes / 1e6:.1f}", f"{a.elapsed_ms:.0f}")
        shown.add_row(a.dashboard, a.panel, *numbers, a.problem, style="red" if a.problem else None)
    return shown


def to_dicts(answers: list[Answer]) -> list[dict[str, Any]]:
    """For --json."""
    return [asdict(answer) for answer in answers]
