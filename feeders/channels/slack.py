"""Slack incoming webhooks with Block Kit. A message that Slack would refuse is replaced by plain text, never sent."""

from __future__ import annotations

import msgspec
import structlog

from feeders.alerting.egress import Egress
from feeders.alerting.model import Page, Result
from feeders.alerting.render import Renderer, cut, mrkdwn
from feeders.channels.block_kit import faults

log = structlog.get_logger()


class Slack:
    """One incoming webhook; its URL is the secret."""

    acknowledges = True

    def __init__(self, name: str, url: str, egress: Egress, renderer: Renderer, *, template: str = "") -> None:
        self.name, self._url, self._egress, self._renderer = name, url, egress, renderer
        self._template = template or "slack.json.j2"

    def body(self, page: Page) -> bytes:
        """The message, checked against Block Kit's limits."""
        text = self._renderer.render(self._template, page)
        try:
            message = msgspec.json.decode(text, type=dict)
            wrong = [str(fault) for fault in faults(message)]
        except msgspec.MsgspecError as error:
            message, wrong = {}, [str(error)]
        if wrong:
            log.error(
                "template gives what Slack refuses; sending plain text", template=self._template, faults=wrong[:5]
            )
            alert = page.alerts[0]
            message = {
                "text": cut(mrkdwn(f"[{alert.severity}] {alert.status}: {alert.summary} ({alert.entity})"), 3000)
            }
        return msgspec.json.encode(message)

    async def send(self, page: Page) -> Result:
        return await self._egress.post(self._url, self.body(page), {"content-type": "application/json"})

    async def close(self) -> None:
        await self._egress.close()
