"""PagerDuty Events API v2: trigger, acknowledge and resolve one incident an alert.

https://developer.pagerduty.com/docs/events-api-v2-overview. `dedup_key` is the alert_id, so a repeated event is the
same incident; a page about a storm opens the incident of its first alert and is closed with it.
"""

from __future__ import annotations

import msgspec

from feeders.alerting.egress import Egress
from feeders.alerting.model import Page, Result
from feeders.alerting.render import Renderer

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}


class PagerDuty:
    """One integration; `routing_key` is its secret."""

    #: Acknowledgements made by `chctl alerts ack` are passed on.
    acknowledges = True

    def __init__(
        self, name: str, routing_key: str, egress: Egress, renderer: Renderer, *, url: str = "", template: str = ""
    ) -> None:
        self.name, self._key, self._egress, self._renderer = name, routing_key, egress, renderer
        self._url, self._template = url or EVENTS_URL, template or "pagerduty.json.j2"

    def body(self, page: Page) -> bytes:
        """The event. Raises where the template does not give what PagerDuty takes."""
        alert = page.alerts[0]
        event = {
            "routing_key": self._key,
            "event_action": ACTIONS[alert.status],
            "dedup_key": alert.alert_id[:255],
            "client": "chctl",
        }
        if alert.status == "firing":
            event |= msgspec.json.decode(self._renderer.render(self._template, page), type=dict)
        return msgspec.json.encode(event)

    async def send(self, page: Page) -> Result:
        return await self._egress.post(self._url, self.body(page), {"content-type": "application/json"})

    async def close(self) -> None:
        await self._egress.close()
