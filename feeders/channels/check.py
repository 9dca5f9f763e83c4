"""The channel `heartbeat`: tells a check outside that an alert came through, such as healthchecks.io or Cronitor."""

from __future__ import annotations

from feeders.alerting.egress import Egress
from feeders.alerting.model import Page, Result


class Check:
    """POSTs to the check's URL; without one it takes the heartbeat itself (http_status 0), and nobody outside knows."""

    acknowledges = False

    def __init__(self, name: str, url: str, egress: Egress) -> None:
        self.name, self._url, self._egress = name, url, egress

    async def send(self, page: Page) -> Result:
        if not self._url:
            return Result(outcome="delivered")
        body = (page.alerts[0].summary or "").encode()
        return await self._egress.post(self._url, body, {"content-type": "text/plain", "webhook-id": page.key})

    async def close(self) -> None:
        await self._egress.close()
