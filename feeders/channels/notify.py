"""E-mail and the hundred other services that Apprise knows, by its URLs (mailtos://user:password@host, ntfys://...)."""

from __future__ import annotations

import asyncio
import io
import logging

import apprise

from feeders.alerting.model import Page, Result
from feeders.alerting.render import Renderer

_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}


class Notify:
    """One Apprise URL (or several, comma-separated, that are told together). The URL holds secrets and is not logged.

    Apprise opens its own connections: an operator's URL here is trusted more than a webhook's, for most of its schemes
    have no host to judge. It says only whether all went well; its warnings become the error on record.
    """

    acknowledges = False

    def __init__(self, name: str, url: str, renderer: Renderer, *, timeout: float = 10.0, template: str = "") -> None:
        self.name, self._renderer, self._timeout = name, renderer, timeout
        self._template = template or "text.j2"
        self._services = apprise.Apprise()
        if not self._services.add(url):
            raise ValueError(f"channel {name}: Apprise does not know this kind of URL")

    async def send(self, page: Page) -> Result:
        text = self._renderer.render(self._template, page)
        title, _, body = text.partition("\n")
        try:
            async with asyncio.timeout(self._timeout):
                ok, said = await asyncio.to_thread(self._notify, title, body.strip(), page)
        except TimeoutError:
            return Result(outcome="retry", error=f"no answer within {self._timeout:g} s")
        return Result(outcome="delivered") if ok else Result(outcome="retry", error=said or "the service refused it")

    def _notify(self, title: str, body: str, page: Page) -> tuple[bool, str]:
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as output:
            kind = "success" if page.alerts[0].status == "resolved" else _KINDS[page.alerts[0].severity]
            ok = self._services.notify(title=title, body=body, notify_type=kind)
            said = output.getvalue() if isinstance(output, io.StringIO) else ""
        return bool(ok), " ".join(said.split())[:300]

    async def close(self) -> None:
        return None
