"""Silences and maintenance windows, as they stand in the table alert_silences."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from feeders.alerting.model import Alert
from feeders.alerting.routing import matches

#: The silences in force now, by the node's clock.
IN_FORCE = """
SELECT silence_id, kind, matchers, why, who, toUnixTimestamp64Milli(alert_silences.ends_time) AS ends_time
FROM alert_silences FINAL
WHERE (starts_time <= now64(3)) AND (alert_silences.ends_time > now64(3))
ORDER BY ends_time DESC
"""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is told of an alert that fits all `matchers` (field to glob) until `ends_time` (milliseconds UTC)."""

    silence_id: str
    kind: str
    matchers: dict[str, str]
    why: str
    who: str
    ends_time: int

    def says(self) -> str:
        """What goes on record for an alert it held back."""
        return f"{self.kind} {self.silence_id} by {self.who}: {self.why}"


def silenced(alert: Alert, silences: Iterable[Silence]) -> Silence | None:
    """The first silence that holds this alert back; the one about a failed channel is never held back."""
    if alert.rule == "delivery_failed":
        return None
    return next((silence for silence in silences if matches(dict(silence.matchers), alert)), None)  # type: ignore[arg-type]
