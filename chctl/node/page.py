"""The node's own page, at /dash/: static files that ask the node for its dash_ views, and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

FOLDER = Path(__file__).resolve().parent.parent / "page"
PATH = "/dash/"

#: The files that a browser asks for, and what they are. A server's http_handlers names each.
CONTENT_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "panels.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "place.js": "text/javascript; charset=utf-8",
    "query.js": "text/javascript; charset=utf-8",
    "dashboards.json": "application/json; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.min.css": "text/css; charset=utf-8",
    "vendor/LICENSE.uPlot": "text/plain; charset=utf-8",
}

#: What every file is sent with: scripts, styles and questions of this origin alone, in no frame of another page.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """The files of CONTENT_TYPES, with HEADERS."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name != b"content-type"]
                own = {**HEADERS, "Content-Type": str(kind)} if message["status"] == 200 else HEADERS
                added = [(name.lower().encode(), value.encode()) for name, value in own.items()]
                message = {**message, "headers": kept + added}
            await send(message)

        name = self.get_path(scope).replace("\\", "/")
        kind = CONTENT_TYPES.get("index.html" if name == "." else name)
        if kind is None:
            await Response("not found\n", 404, media_type="text/plain")(scope, receive, send)
            return
        await super().__call__(scope, receive, with_headers)


async def _to_page(_: Request) -> Response:
    return RedirectResponse(PATH)


def routes() -> list[BaseRoute]:
    """The page's routes, ahead of the ClickHouse interface."""
    return [Route(PATH.rstrip("/"), _to_page), Mount(PATH, _Files(directory=FOLDER, html=True))]
