"""The demo's end of the line: a webhook receiver on loopback that checks signatures, as a team's own would."""

from __future__ import annotations

import json
import socket
import threading
import time

import uvicorn
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Receiver:
    """Takes alert pages; answers 401 to a wrong signature. A repeated `webhook-id` is one message."""

    def __init__(self, secret: str) -> None:
        self._verifier = Webhook(secret)
        self._pages: dict[str, list[tuple[str, str]]] = {}
        self.refused = 0
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/alerts"
        app = Starlette(routes=[Route("/alerts", self._take, methods=["POST"])])
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)

    def start(self) -> Receiver:
        """Serve in a thread of its own."""
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(5)

    def delivered(self) -> tuple[tuple[str, str], ...]:
        """(alert_id, status) of each alert received, in order; an alert in two messages stands here twice."""
        return tuple(alert for page in list(self._pages.values()) for alert in page)

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        try:
            self._verifier.verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.refused += 1
            return Response(status_code=401)
        alerts = json.loads(body)["data"]["alerts"]
        self._pages.setdefault(request.headers["webhook-id"], [(a["alert_id"], a["status"]) for a in alerts])
        return Response(status_code=204)
