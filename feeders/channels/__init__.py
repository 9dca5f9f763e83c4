"""Ways to tell somebody: one file a channel. A channel sends one page once and says how that ended."""

from __future__ import annotations

from typing import Protocol

from feeders.alerting.model import Page, Result


class Channel(Protocol):
    """One destination. `send` makes one attempt, never raises for what the far end does, and never retries."""

    name: str
    #: Whether an acknowledgement is worth a message here.
    acknowledges: bool

    async def send(self, page: Page) -> Result: ...

    async def close(self) -> None: ...
