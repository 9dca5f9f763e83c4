"""What the collectors of posts share: asking a service politely, and the row that a post becomes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx

#: What a service may send at most in one answer.
BODY_LIMIT = 16 << 20

Cursor = dict[str, Any]


class LaterError(Exception):
    """The service wants to be left alone for `wait` seconds (None: back off)."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class SetupError(RuntimeError):
    """The service refuses the credentials or the request; the message names the settings to check."""


@dataclass
class Poll:
    """What a poll brought: rows of `social_raw`, the cursor behind them, and the seconds until the next poll."""

    posts: list[dict[str, Any]]
    cursor: Cursor
    wait: float


class Collector(Protocol):
    """One service. `poll` changes nothing but what it returns."""

    name: str

    async def poll(self, cursor: Cursor) -> Poll:
        """What is new since `cursor` ({} at first). Raises LaterError and SetupError."""


async def ask(client: httpx.AsyncClient, method: str, url: str, *, setting: str, **kwargs: Any) -> httpx.Response:
    """A request whose failures say how to go on: LaterError, or SetupError that names `setting`."""
    try:
        async with client.stream(method, url, **kwargs) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise LaterError("answer too large")
    except httpx.HTTPError as error:
        raise LaterError(type(error).__name__) from None
    whole = httpx.Response(
        response.status_code, content=bytes(body), headers=_decoded(response.headers), request=response.request
    )
    status = whole.status_code
    if status == 429:
        raise LaterError("429", wait_of(whole.headers) or _wait_in(whole))
    if status >= 500 or status == 408:
        raise LaterError(str(status), wait_of(whole.headers))
    if status in (401, 403):
        raise SetupError(f"the service answers {status}: check {setting}")
    return whole


def _decoded(headers: httpx.Headers) -> dict[str, str]:
    """The headers of a body that is decoded already."""
    return {k: v for k, v in headers.items() if k not in ("content-encoding", "content-length", "transfer-encoding")}


def _wait_in(response: httpx.Response) -> float | None:
    """Telegram tells the seconds in the body: {"parameters": {"retry_after": 5}}."""
    try:
        return float(response.json()["parameters"]["retry_after"])
    except (ValueError, KeyError, TypeError):
        return None


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by Retry-After (seconds or date), x-rate-limit-reset (X: epoch), x-ratelimit-reset (Reddit)."""
    if value := headers.get("retry-after"):
        try:
            return max(0.0, float(value))
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except ValueError:
                return None
    try:
        if value := headers.get("x-rate-limit-reset"):
            return max(1.0, float(value) - time.time())
        if value := headers.get("x-ratelimit-reset"):
            return max(1.0, float(value))
    except ValueError:
        pass
    return None


def decoded(response: httpx.Response, setting: str) -> Any:
    """The JSON of an answer. Raises LaterError where it is none, SetupError for a 4xx."""
    if response.status_code >= 400:
        raise SetupError(f"the service answers {response.status_code}: check {setting}")
    try:
        return response.json()
    except ValueError:
        raise LaterError("answer is not JSON") from None


def post(
    event_id: str,
    event_time: float,
    source: str,
    text: str,
    *,
    author: str = "",
    language: str = "",
    url: str = "",
    symbols: list[str] | None = None,
    engagement: int = 0,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A row of `social_raw`; `event_time` in seconds UTC."""
    return {
        "event_id": event_id[:256],
        "event_time": int(event_time * 1000),
        "source": source,
        "author": author[:256],
        "language": language[:16],
        "text": text[:16_000],
        "url": url[:2048],
        "symbols": symbols or [],
        "engagement": max(0, int(engagement)),
        "metadata": json.dumps(metadata or {}),
    }
