"""The macros and variables of a panel's SQL, for both faces.

A panel is written once, with the macros of Grafana's ClickHouse plugin (their meaning as the plugin documents it).
Grafana replaces them by text. The node's own page sends the same SQL with ClickHouse's query parameters in their place:
no value ever becomes part of a statement there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MACRO = re.compile(r"\$__(\w+)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?")
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")


class MacroError(ValueError):
    """A macro or variable that is not known, or is written in a way that one of the faces cannot read."""


@dataclass(frozen=True)
class Moment:
    """What a dashboard shows: `from_ms` to `to_ms` (Unix time, UTC) in steps of `step_s` seconds, and its variables."""

    from_ms: int
    to_ms: int
    step_s: int
    variables: Mapping[str, str]


def _replace(sql: str, macro: Callable[[str, str], str], variable: Callable[[str, str], str]) -> str:
    sql = _MACRO.sub(lambda found: macro(found[1], (found[2] or "").strip()), sql)
    return _VARIABLE.sub(lambda found: variable(found[1], found[2] or ""), sql)


def variables(sql: str) -> set[str]:
    """Names of the variables in the SQL."""
    return {found[1] for found in _VARIABLE.finditer(sql)}


def expand(sql: str, moment: Moment) -> str:
    """The SQL as Grafana sends it. Raises MacroError."""
    seconds = moment.from_ms // 1000, moment.to_ms // 1000
    milliseconds = moment.from_ms, moment.to_ms

    def macro(name: str, argument: str) -> str:
        meanings = {
            "timeFilter": f"{argument} >= toDateTime({seconds[0]}) AND {argument} <= toDateTime({seconds[1]})",
            "timeFilter_ms": f"{argument} >= fromUnixTimestamp64Milli({milliseconds[0]})"
            f" AND {argument} <= fromUnixTimestamp64Milli({milliseconds[1]})",
            "fromTime": f"toDateTime({seconds[0]})",
            "toTime": f"toDateTime({seconds[1]})",
            "fromTime_ms": f"fromUnixTimestamp64Milli({milliseconds[0]})",
            "toTime_ms": f"fromUnixTimestamp64Milli({milliseconds[1]})",
            "interval_s": f"{moment.step_s}",
            "timeInterval": f"toStartOfInterval(toDateTime({argument}), INTERVAL {moment.step_s} second)",
        }
        return _known(meanings, name, argument)

    def variable(name: str, style: str) -> str:
        if name not in moment.variables:
            raise MacroError(f"variable {name} has no value")
        if style == "sqlstring":  # as Grafana's format of that name: quotes doubled
            return "'" + moment.variables[name].replace("'", "''") + "'"
        raise MacroError(f"${{{name}:{style}}}: write ${{{name}:sqlstring}}, so that a value cannot end the string")

    return _replace(sql, macro, variable)


def parametrize(sql: str) -> str:
    """The SQL with query parameters: from_ms, to_ms, step_s, and each variable by its name. Raises MacroError."""
    times = {name: f"fromUnixTimestamp64Milli({{{name}:Int64}})" for name in ("from_ms", "to_ms")}
    seconds = {name: f"toDateTime(intDiv({{{name}:Int64}}, 1000))" for name in ("from_ms", "to_ms")}

    def macro(name: str, argument: str) -> str:
        meanings = {
            "timeFilter": f"{argument} >= {seconds['from_ms']} AND {argument} <= {seconds['to_ms']}",
            "timeFilter_ms": f"{argument} >= {times['from_ms']} AND {argument} <= {times['to_ms']}",
            "fromTime": seconds["from_ms"],
            "toTime": seconds["to_ms"],
            "fromTime_ms": times["from_ms"],
            "toTime_ms": times["to_ms"],
            "interval_s": "{step_s:UInt32}",
            "timeInterval": f"toStartOfInterval(toDateTime({argument}), INTERVAL {{step_s:UInt32}} second)",
        }
        return _known(meanings, name, argument)

    return _replace(sql, macro, lambda name, _: f"{{{name}:String}}")


def _known(meanings: dict[str, str], name: str, argument: str) -> str:
    if name not in meanings:
        raise MacroError(f"$__{name}: unknown here; there are {', '.join(f'$__{known}' for known in meanings)}")
    if (name in ("timeFilter", "timeFilter_ms", "timeInterval")) != bool(argument):
        raise MacroError(f"$__{name} takes {'no ' if argument else 'a column as '}argument")
    return meanings[name]
