"""A webhook receiver on loopback that answers as a test tells it to and keeps what it got."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

#: Given the request, what to answer; None is "accepted".
Script = Callable[["Got"], Response | None]


@dataclass(frozen=True)
class Got:
    """One request as it arrived; `time` in seconds, monotonic."""

    path: str
    headers: dict[str, str]
    body: bytes
    time: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]

    @property
    def alerts(self) -> list[tuple[str, str]]:
        """(alert_id, status) of each alert in a webhook page."""
        return [(alert["alert_id"], alert["status"]) for alert in self.json["data"]["alerts"]]


def hang_after(status: int) -> Response:
    """Sends the status line and a first byte, then nothing for a minute."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    return StreamingResponse(body(), status_code=status)


@dataclass
class Receiver:
    """Answers by `script`. `got`: everything received; `accepted`: what was answered with 2xx, once a key."""

    script: Script | None = None
    got: list[Got] = field(default_factory=list)
    accepted: dict[str, Got] = field(default_factory=dict)
    port: int = 0

    def start(self) -> Receiver:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST", "GET"])])
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _answer(self, request: Request) -> Response:
        got = Got(request.url.path, dict(request.headers), await request.body(), time.monotonic())
        self.got.append(got)
        answer = (self.script(got) if self.script else None) or Response(status_code=204)
        if answer.status_code < 300 and "webhook-id" in got.headers:
            self.accepted.setdefault(got.key, got)
        return answer

    def delivered(self) -> list[tuple[str, str]]:
        """(alert_id, status) as a receiver that honours the key sees them: each accepted message once, in order."""
        return [alert for got in list(self.accepted.values()) for alert in got.alerts]
