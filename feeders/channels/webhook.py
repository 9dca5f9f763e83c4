"""Generic HTTP, signed by Standard Webhooks (https://www.standardwebhooks.com): receivers can verify and de-duplicate.

`webhook-id` is the idempotency key, the same for every attempt; `webhook-timestamp` is of the attempt.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from standardwebhooks import Webhook as Signer

from feeders.alerting.egress import Egress
from feeders.alerting.model import Page, Result


class Webhook:
    """POSTs a page as JSON: {"type": "alert.firing", "timestamp", "data": {"alerts": [...], "count", ...}}."""

    acknowledges = True

    def __init__(self, name: str, url: str, egress: Egress, *, secret: str = "") -> None:
        self.name, self._url, self._egress = name, url, egress
        self._signer = Signer(secret) if secret else None

    def body(self, page: Page) -> bytes:
        first = page.alerts[0]
        raised = datetime.fromtimestamp(first.raised_time / 1000, UTC)
        return msgspec.json.encode(
            {
                "type": f"alert.{first.status}",
                "timestamp": raised.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "data": {
                    "channel": self.name,
                    "step": page.step,
                    "count": len(page.alerts),
                    "owner": page.rule.owner,
                    "runbook": page.rule.runbook,
                    "account": page.account,
                    "alerts": page.alerts,
                },
            }
        )

    async def send(self, page: Page) -> Result:
        body, now = self.body(page), datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": page.key,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signer:
            headers["webhook-signature"] = self._signer.sign(page.key, now, body.decode())
        return await self._egress.post(self._url, body, headers)

    async def close(self) -> None:
        await self._egress.close()
