"""Storms: of many alerts of one rule and symbol a few go out alone, the rest of the window as one page with a count.

In memory rather than in SQL: the first pages must not wait for a question to the node, and go out while it is away.
What waits for its page is on record as `held`, so that a killed feeder loses nothing of it.
"""

from __future__ import annotations

import msgspec

from feeders.alerting.model import Alert
from feeders.alerting.routing import Group

#: What a group is told apart by: the channel, and the alert's values of Group.by.
GroupKey = tuple[str, ...]


class _Window(msgspec.Struct):
    ends: float
    alone: int = 0
    held: list[Alert] = []


class Storms:
    """Decides which alerts go alone and which wait; keeps the order within an entity. Times: seconds, one clock."""

    def __init__(self) -> None:
        self._windows: dict[GroupKey, _Window] = {}

    def add(self, channel: str, group: Group, alert: Alert, now: float) -> list[tuple[str, tuple[Alert, ...]]]:
        """The messages to send now, in order, as (channel, alerts); none when the alert waits for its window's end."""
        key = (channel, *(str(getattr(alert, field)) for field in group.by))
        ready: list[tuple[str, tuple[Alert, ...]]] = []
        window = self._windows.get(key)
        if window is None or now >= window.ends:
            ready += self._close(key)
            window = self._windows[key] = _Window(ends=now + group.window, held=[])
        # What waits elsewhere for the same entity was raised before: it goes first.
        for other in [k for k, w in self._windows.items() if k[0] == channel and k != key and w.held]:
            if any(held.entity == alert.entity for held in self._windows[other].held):
                ready += self._flush(other)
        if window.alone >= group.limit:
            window.held.append(alert)
            return ready
        window.alone += 1
        return [*ready, (channel, (alert,))]

    def due(self, now: float) -> list[tuple[str, tuple[Alert, ...]]]:
        """The collected pages whose window is over."""
        over = [key for key, window in self._windows.items() if now >= window.ends]
        return [page for key in over for page in self._close(key)]

    def _close(self, key: GroupKey) -> list[tuple[str, tuple[Alert, ...]]]:
        pages = self._flush(key)
        self._windows.pop(key, None)
        return pages

    def _flush(self, key: GroupKey) -> list[tuple[str, tuple[Alert, ...]]]:
        window = self._windows.get(key)
        if window is None or not window.held:
            return []
        held, window.held = window.held, []
        return [(key[0], tuple(held))]
