"""Dashboards as Grafana provisions them: JSON a dashboard, and the alert rules of their tiles as YAML."""

from __future__ import annotations

import re
from typing import Any

import yaml

from chctl.dashboards.model import COLUMNS, AlertRule, Column, Dashboard, Panel, Thresholds, Tone, Unit

#: uid of deploy/grafana/provisioning/datasources/clickhouse.yaml.
DATASOURCE = {"type": "grafana-clickhouse-datasource", "uid": "chctl"}
FOLDER = "chctl"

_UNITS: dict[Unit, str] = {
    "": "none", "count": "short", "price": "none", "quantity": "short", "amount": "short", "bps": "suffix: bps",
    "ratio": "percentunit", "ms": "ms", "s": "s", "bytes": "bytes", "per_second": "suffix:/s", "score": "none",
    "usd": "currencyUSD", "time": "time:YYYY-MM-DD HH:mm:ss", "id": "string", "severity": "string", "state": "string",
    "text": "string",
}  # fmt: skip
_COLORS: dict[Tone, str] = {
    "buy": "green", "sell": "red", "good": "green", "warn": "orange", "bad": "red", "neutral": "text", "main": "blue",
}  # fmt: skip
#: Words whose colour says how bad they are.
_WORDS = {
    "critical": "red", "warning": "orange", "info": "blue", "firing": "red", "resolved": "green", "delivered": "green",
    "failed": "red", "retry": "orange", "suppressed": "text",
}  # fmt: skip


def dashboard(source: Dashboard, every: list[Dashboard]) -> dict[str, Any]:
    """One dashboard as Grafana's JSON model; `every` are those its menu links to."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in source.rows:
        panels.append(
            _placed({"type": "row", "title": row.title, "collapsed": False, "panels": []}, panels, 0, y, 24, 1)
        )
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_placed(_panel(panel), panels, x, y, panel.width, panel.height))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return {
        "uid": source.uid,
        "title": source.title,
        "description": source.about,
        "tags": ["chctl"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one crosshair for all panels
        "refresh": source.refresh,
        "time": {"from": f"now-{source.range}", "to": "now"},
        "timepicker": {"refresh_intervals": ["2s", "5s", "15s", "1m", "5m"]},
        "links": [
            {"type": "link", "title": other.title, "url": f"/d/{other.uid}", "keepTime": True, "icon": "dashboard"}
            for other in every
            if other.uid != source.uid
        ],
        "annotations": {"list": []},
        "templating": {
            "list": [_variable(variable.name, variable.title, variable.sql) for variable in source.variables]
        },
        "panels": panels,
    }


def _placed(panel: dict[str, Any], before: list[Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"id": len(before) + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}} | panel


def _variable(name: str, title: str, sql: str) -> dict[str, Any]:
    if not sql:
        empty = {"text": "", "value": ""}
        return {"type": "textbox", "name": name, "label": title, "query": "", "current": empty, "options": []}
    return {
        "type": "query",
        "name": name,
        "label": title,
        "datasource": DATASOURCE,
        "definition": sql,
        "query": {"editorType": "sql", "rawSql": sql, "queryType": "table", "format": 1},
        "refresh": 1,  # when the dashboard is opened
        "sort": 0,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def _target(sql: str, series: bool) -> dict[str, Any]:
    """A query: format 0 makes series of rows (columns of text name them), 1 leaves the table as it is."""
    kind = {"queryType": "timeseries", "format": 0} if series else {"queryType": "table", "format": 1}
    return {"refId": "A", "datasource": DATASOURCE, "editorType": "sql", "rawSql": sql} | kind


def _panel(panel: Panel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "interval": "1s",
        "targets": [_target(panel.sql, panel.kind in ("lines", "bars", "heatmap"))],
        "fieldConfig": {"defaults": _field(panel), "overrides": _overrides(panel)},
    }
    return made | _KINDS[panel.kind](panel)


def _field(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": _UNITS[panel.unit]}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.thresholds:
        defaults["thresholds"] = _steps(panel.thresholds)
    if panel.kind in ("lines", "bars"):
        defaults["color"] = {"mode": "palette-classic"}
        if re.search(r"\bAS series\b", panel.sql):
            defaults["displayName"] = "${__field.labels.series}"
        defaults["custom"] = {
            "drawStyle": "bars" if panel.kind == "bars" else "line",
            "fillOpacity": 70 if panel.kind == "bars" else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked or panel.kind == "bars" else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    elif panel.kind == "tile":
        defaults["color"] = {"mode": "thresholds"}
        defaults["noValue"] = "-"
        defaults.setdefault("thresholds", {"mode": "absolute", "steps": [{"color": "text", "value": None}]})
    return defaults


def _steps(thresholds: Thresholds) -> dict[str, Any]:
    """Grafana's steps go upwards: where less is worse they begin with the bad one."""
    if thresholds.bad >= thresholds.warn:
        steps = [("green", None), ("orange", thresholds.warn), ("red", thresholds.bad)]
    else:
        steps = [("red", None), ("orange", thresholds.bad), ("green", thresholds.warn)]
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in steps]}


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    found = [
        _override(name, {"color": {"mode": "fixed", "fixedColor": _COLORS[tone]}}) for name, tone in panel.tones.items()
    ]
    for name, column in panel.columns.items():
        found.append(_override(name, _column(column)))
    return found


def _override(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def _column(column: Column) -> dict[str, Any]:
    properties: dict[str, Any] = {"unit": _UNITS[column.unit]}
    if column.title:
        properties["displayName"] = column.title
    if column.thresholds:
        properties["thresholds"] = _steps(column.thresholds)
        properties["custom.cellOptions"] = {"type": "color-text"}
    elif column.bar:
        properties["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        properties["min"] = 0
    elif column.unit == "text":
        properties["custom.width"] = 420
    if column.unit in ("severity", "state"):
        words = {word: {"color": color, "index": index} for index, (word, color) in enumerate(_WORDS.items())}
        properties["mappings"] = [{"type": "value", "options": words}]
        properties["custom.cellOptions"] = {"type": "color-text"}
    return properties


def _tile(_: Panel) -> dict[str, Any]:
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "type": "stat",
        "options": {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "value"},
    }


def _series(_: Panel) -> dict[str, Any]:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"type": "timeseries", "options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}}


def _heatmap(panel: Panel) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "options": {
            "calculate": False,  # the rows are the buckets already
            "rowsFrame": {"layout": "auto", "value": panel.title},
            "color": {"mode": "scheme", "scheme": "Blues", "scale": "exponential", "exponent": 0.5, "steps": 64},
            "cellGap": 0,
            "yAxis": {"axisPlacement": "left", "unit": "none"},
            "tooltip": {"mode": "single", "yHistogram": False},
            "legend": {"show": True},
        },
    }


def _table(_: Panel) -> dict[str, Any]:
    return {"type": "table", "options": {"showHeader": True, "cellHeight": "sm"}}


def _ladder(panel: Panel) -> dict[str, Any]:
    """A table: bars for the totals, sides in their colours."""
    words = {"bid": {"color": "green", "index": 0}, "ask": {"color": "red", "index": 1}}
    overrides = [
        _override(
            "side", {"mappings": [{"type": "value", "options": words}], "custom.cellOptions": {"type": "color-text"}}
        ),
        _override(
            "total", {"custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}, "min": 0}
        ),
    ]
    return _table(panel) | {"fieldConfig": {"defaults": {"unit": "none"}, "overrides": overrides}}


_KINDS = {"tile": _tile, "lines": _series, "bars": _series, "heatmap": _heatmap, "table": _table, "ladder": _ladder}


# --- alert rules ------------------------------------------------------------------------------------------------------


def alert_rules(dashboards: list[Dashboard]) -> str:
    """The tiles' alerts as a provisioning file. A `$` stands doubled: Grafana replaces variables in such files."""
    rules = [
        _rule(dashboard, panel, number, panel.alert)
        for dashboard in dashboards
        for number, panel in enumerate(dashboard_panels(dashboard), 1)
        if panel is not None and panel.alert
    ]
    group = {"orgId": 1, "name": "chctl", "folder": FOLDER, "interval": "1m", "rules": rules}
    head = "# What is not critical: critical alerts are raised in SQL and delivered by chctl itself.\n"
    head += "# Rendered by `chctl dashboards render` from the `alert` of tiles in dashboards/.\n"
    return head + yaml.safe_dump({"apiVersion": 1, "groups": [group]}, sort_keys=False, width=120, allow_unicode=True)


def dashboard_panels(source: Dashboard) -> list[Panel | None]:
    """Panels by their number in Grafana less one; a heading takes a number too."""
    return [panel for row in source.rows for panel in (None, *row.panels)]


def _rule(source: Dashboard, panel: Panel, number: int, alert: AlertRule) -> dict[str, Any]:
    seconds = int(alert.window[:-1]) * {"s": 1, "m": 60, "h": 3600}[alert.window[-1]]
    over = {"relativeTimeRange": {"from": seconds, "to": 0}}
    line, kind = (alert.above, "gt") if alert.above is not None else (alert.below, "lt")
    query = _target(panel.sql.replace("$", "$$"), False) | {"intervalMs": 1000, "maxDataPoints": 1000}
    threshold = {"evaluator": {"type": kind, "params": [line]}}
    decide = {"refId": "B", "type": "threshold", "expression": "A", "conditions": [threshold]}
    return {
        "uid": f"chctl-{panel.id.replace('_', '-')}",
        "title": panel.title,
        "condition": "B",
        "for": alert.for_,
        # nothing to judge is no fault (no alert was delivered in the window); a query that fails is one
        "noDataState": "OK",
        "execErrState": "Error",
        "dashboardUid": source.uid,
        "panelId": number,
        "labels": {"severity": "warning", "source": "grafana"},
        "annotations": {"summary": alert.summary, "runbook": alert.runbook},
        "data": [
            {"refId": "A", "datasourceUid": DATASOURCE["uid"], **over, "model": query},
            {"refId": "B", "datasourceUid": "__expr__", **over, "model": decide},
        ],
    }
