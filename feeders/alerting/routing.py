"""Where an alert goes: the routing tree of CHCTL_ALERTS_ROUTES, its channels, and what is wrong with it.

```yaml
channels:
  ops:    {type: webhook, url_file: ops_url, secret_file: ops_secret}
  slack:  {type: slack, url_file: slack_url, rate: 1}
  pager:  {type: pagerduty, routing_key_file: pagerduty_key}
  mail:   {type: apprise, url_file: mail_url}
route:                       # the root takes every alert
  channels: [ops]
  repeat: 4h                 # again while it fires and nobody acknowledged; 0: once
  group: {by: [rule, symbol], limit: 5, window: 30s}
  routes:                    # the first child that matches takes it, and goes on with `continue: true`
    - match: {severity: critical}
      channels: [pager, slack]
      repeat: 30m
      escalate:
        - {after: 10m, channels: [mail]}
    - match: {rule: "liquidity_*", symbol: [BTCUSDT, ETHUSDT]}
      channels: [slack]
fallback: mail               # told when a channel failed for good
```

Children inherit repeat, group and escalate. Secrets stand in files, of the secrets directory unless the path is
absolute; a URL without a secret may stand in `url`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from feeders.alerting.model import Alert

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: The fields of an alert that a matcher may name; values are globs, `|` is not special, lists are alternatives.
FIELDS = ("rule", "severity", "status", "entity", "venue", "symbol", "user_id")


def seconds(value: object) -> object:
    """Seconds of "90s", "5m", "4h", "1d" or a plain number."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())):
        return float(match[1]) * _UNITS[match[2]]
    return value


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
Matchers = dict[
    Literal["rule", "severity", "status", "entity", "venue", "symbol", "user_id"], str | int | list[str | int]
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelSpec(_Strict):
    """How to reach one destination, and how hard to try. `rate` in messages a second, 0 for no limit."""

    type: Literal["webhook", "slack", "pagerduty", "apprise"]
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    routing_key_file: str = ""
    template: str = ""
    redirects: int = Field(default=0, ge=0, le=5)
    max_attempts: int = Field(default=8, ge=1, le=100)
    give_up_after: Duration = 900.0
    concurrency: int = Field(default=8, ge=1, le=100)
    rate: float = Field(default=0.0, ge=0)
    timeout: Duration = 10.0


class Group(_Strict):
    """Of the alerts that agree in `by`, `limit` a window go out alone; the rest of it is one page with a count.

    With `limit: 0` each alert waits for the end of its window: one page a group, however many they are.
    """

    by: tuple[Literal["rule", "severity", "entity", "venue", "symbol", "user_id"], ...] = ("rule", "symbol")
    limit: int = Field(default=5, ge=0)
    window: Duration = 30.0


class Escalation(_Strict):
    """Who else is told when nobody acknowledged within `after` seconds of the alert being raised."""

    after: Duration
    channels: tuple[str, ...] = Field(min_length=1)


class RouteSpec(_Strict):
    """A node of the tree; None inherits from the parent."""

    match: Matchers = {}
    channels: tuple[str, ...] = ()
    repeat: Duration | None = None
    group: Group | None = None
    escalate: tuple[Escalation, ...] | None = None
    continue_: bool = Field(default=False, alias="continue")
    routes: tuple[RouteSpec, ...] = ()


class Routing(_Strict):
    """The whole file."""

    channels: dict[str, ChannelSpec]
    route: RouteSpec
    fallback: str = ""

    def destinations(self, alert: Alert) -> list[Destination]:
        """Every route that takes this alert, in order of the file; a channel only from the first that names it."""
        taken: set[str] = set()
        result = []
        for found in _walk(self.route, alert, Destination(channels=(), path="route")):
            channels = tuple(name for name in found.channels if name not in taken)
            taken.update(channels)
            if channels:
                result.append(found.model_copy(update={"channels": channels}))
        return result


class Destination(_Strict):
    """What the tree says about one alert: who, how often again, who next. `path` names the node that says so."""

    channels: tuple[str, ...]
    path: str
    repeat: float = 0.0
    group: Group = Group()
    escalate: tuple[Escalation, ...] = ()


def _walk(node: RouteSpec, alert: Alert, parent: Destination) -> Iterator[Destination]:
    here = Destination(
        channels=node.channels or parent.channels,
        path=parent.path,
        repeat=parent.repeat if node.repeat is None else node.repeat,
        group=parent.group if node.group is None else node.group,
        escalate=parent.escalate if node.escalate is None else node.escalate,
    )
    went_down = False
    for number, child in enumerate(node.routes):
        if matches(child.match, alert):
            yield from _walk(child, alert, here.model_copy(update={"path": f"{here.path}.routes[{number}]"}))
            went_down = True
            if not child.continue_:
                return
    if not went_down or not node.routes:
        yield here


def matches(matchers: Matchers, alert: Alert) -> bool:
    """True when every named field fits one of its globs (`BTC*`, `user:?2`); case counts."""
    for field, wanted in matchers.items():
        value = getattr(alert, field)
        text = "" if value is None else str(value)
        patterns: Iterable[str | int] = wanted if isinstance(wanted, list) else [wanted]
        if not any(fnmatch.fnmatchcase(text, str(pattern)) for pattern in patterns):
            return False
    return True


def load(path: Path) -> Routing:
    """Read and validate a routing file. Raises RoutingError with every fault and its place."""
    routing, faults = check(path)
    if routing is None or faults:
        raise RoutingError("\n".join(faults))
    return routing


class RoutingError(ValueError):
    """What is wrong with a routing file, one fault a line."""


def check(path: Path) -> tuple[Routing | None, list[str]]:
    """The routing file, and every fault as `file: place: what to do`; None where it cannot be read as one at all."""
    try:
        raw: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        return None, [f"{path}: {error}"]
    try:
        routing = Routing.model_validate(raw)
    except ValidationError as error:
        return None, [f"{path}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
    faults = [f"{path}: {fault}" for fault in _faults(routing)]
    return routing, faults


def _faults(routing: Routing) -> Iterator[str]:
    known = set(routing.channels)
    named: set[str] = set()
    if not routing.route.channels:
        yield "route.channels: the root needs a channel, so that no alert is lost"
    if routing.route.match:
        yield "route.match: the root takes every alert; match in its routes"
    if routing.fallback:
        named.add(routing.fallback)
    elif len(known) > 1:
        yield "fallback: name the channel that is told when another one fails"

    def visit(node: RouteSpec, path: str) -> Iterator[str]:
        for name in node.channels:
            named.add(name)
            if name not in known:
                yield f"{path}.channels: no channel is called {name!r}"
        for number, step in enumerate(node.escalate or ()):
            for name in step.channels:
                named.add(name)
                if name not in known:
                    yield f"{path}.escalate[{number}]: no channel is called {name!r}"
        shadow: list[tuple[int, Matchers]] = []
        for number, child in enumerate(node.routes):
            below = f"{path}.routes[{number}]"
            for earlier, matchers in shadow:
                if all(child.match.get(field) == value for field, value in matchers.items()):
                    yield f"{below}: never reached, {path}.routes[{earlier}] takes it all; reorder, or `continue: true`"
            if not child.continue_:
                shadow.append((number, child.match))
            yield from visit(child, below)

    yield from visit(routing.route, "route")
    if routing.fallback and routing.fallback not in known:
        yield f"fallback: no channel is called {routing.fallback!r}"
    for name in sorted(known - named):
        yield f"channels.{name}: no route leads there"
    for name, channel in routing.channels.items():
        place = f"channels.{name}"
        if channel.type == "pagerduty":
            if not channel.routing_key_file:
                yield f"{place}: pagerduty needs routing_key_file"
        elif bool(channel.url) == bool(channel.url_file):
            yield f"{place}: {channel.type} needs one of url and url_file"
        if channel.type in ("slack", "apprise") and channel.url:
            yield f"{place}: its URL is a secret; put it in a file and name that in url_file"
