"""A dashboard as dashboards/<uid>.yaml says it: the one source of Grafana's JSON and of the node's own page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from chctl.dashboards.macros import MacroError, Moment, expand, parametrize, variables

#: What a figure is. The page formats each itself; Grafana's name for it stands in grafana.py.
Unit = Literal[
    "", "count", "price", "quantity", "amount", "bps", "ratio", "ms", "s", "bytes", "per_second", "score", "usd",
    "time", "id", "severity", "state", "text",
]  # fmt: skip
Kind = Literal["tile", "lines", "bars", "heatmap", "ladder", "table"]
#: What a colour means: a series is named for its meaning, each face has its own shade.
Tone = Literal["buy", "sell", "good", "warn", "bad", "neutral", "main"]

#: A grid of 24 columns, as Grafana's.
COLUMNS = 24


class DashboardError(ValueError):
    """A dashboard's file that cannot be used; prints as `path: message`."""


class Thresholds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """From where a figure is worth a look, and from where it is bad. `bad` below `warn`: less is worse."""

    warn: float
    bad: float


class Column(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a column of a table is shown. `bar`: also as a bar, relative to the greatest of the column."""

    title: str = ""
    unit: Unit = ""
    thresholds: Thresholds | None = None
    bar: bool = False


class AlertRule(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"for_": "for"}):
    """An alert that Grafana raises on a tile, for what is not critical: the tile's SQL over `window`.

    One of `above` and `below` is the line; `for` is how long it must hold.
    """

    summary: str
    runbook: str
    above: float | None = None
    below: float | None = None
    for_: str = "5m"
    window: str = "10m"


class Panel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One panel. What its SQL gives, by kind:

    tile: one row, one number. lines, bars: `time`, then a number a series, or `series` (text) and one number.
    heatmap: `time`, `price` (text that sorts as the number it holds), one number. ladder: `side` (bid, ask; best
    first), `price`, `quantity`, `total`. table: any columns; those of `columns` in their words and units.
    """

    id: str
    title: str
    kind: Kind
    sql: str
    width: int
    height: int
    about: str = ""
    unit: Unit = ""
    decimals: int | None = None
    thresholds: Thresholds | None = None
    tones: dict[str, Tone] = {}
    stacked: bool = False
    columns: dict[str, Column] = {}
    alert: AlertRule | None = None
    #: A panel that may rightly be empty, such as the merges that run now.
    may_be_empty: bool = False


class Row(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Panels under one heading."""

    title: str
    panels: list[Panel]


class Variable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A choice at the top of the dashboard. `sql` lists the values (its first column), the first one is the default.

    Without `sql` it is a text to type, empty at first.
    """

    name: str
    title: str
    sql: str = ""
    about: str = ""


class Dashboard(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One file of dashboards/. `range` is the time shown at first, `refresh` how often it is asked anew."""

    uid: str
    title: str
    about: str
    range: str
    refresh: str
    rows: list[Row]
    variables: list[Variable] = []

    @property
    def panels(self) -> list[Panel]:
        """All panels, from the top."""
        return [panel for row in self.rows for panel in row.panels]


#: The dashboards in the order of the menu.
ORDER = ("liquidity", "orders", "social", "alerts", "pipeline")


def load(path: Path) -> Dashboard:
    """Read and check one file. Raises DashboardError, which names the file and what to change."""
    try:
        dashboard = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Dashboard)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise DashboardError(f"{path}: {error}") from error
    for problem in _problems(dashboard, path):
        raise DashboardError(f"{path}: {problem}")
    return dashboard


def load_all(folder: Path) -> list[Dashboard]:
    """Every dashboard, in the order of the menu. Raises DashboardError for the first bad one."""
    found = {path.stem: load(path) for path in sorted(folder.glob("*.yaml"))}
    return sorted(
        found.values(), key=lambda one: (one.uid not in ORDER, ORDER.index(one.uid) if one.uid in ORDER else 0)
    )


def _problems(dashboard: Dashboard, path: Path) -> list[str]:
    found = []
    if dashboard.uid != path.stem:
        found.append(f"uid {dashboard.uid} stands in a file of another name")
    ids = [panel.id for panel in dashboard.panels]
    found += [f"panel {name} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    names = {variable.name for variable in dashboard.variables}
    example = Moment(0, 1000, 1, dict.fromkeys(names, ""))
    asked = [(f"panel {panel.id}", panel.sql) for panel in dashboard.panels]
    asked += [(f"variable {variable.name}", variable.sql) for variable in dashboard.variables]
    for where, sql in asked:
        try:
            expand(sql, example)
            parametrize(sql)
        except MacroError as error:
            found.append(f"{where}: {error}")
        tables = set(re.findall(r"\b(?:FROM|(?<!ARRAY )JOIN)\s+([\w.]+)", sql))
        if strangers := sorted(name for name in tables if not name.startswith("dash_")):
            found.append(f"{where} reads {', '.join(strangers)}: dashboards read dash_ views and nothing else")
    for panel in dashboard.panels:
        if panel.alert and (panel.kind != "tile" or (panel.alert.above is None) == (panel.alert.below is None)):
            found.append(f"panel {panel.id}: an alert stands on a tile and has either above or below")
        if panel.alert and variables(panel.sql):
            found.append(f"panel {panel.id}: an alert has no reader to choose variables")
        if not 1 <= panel.width <= COLUMNS:
            found.append(f"panel {panel.id}: width is 1 to {COLUMNS}")
    return found
