"""New posts of subreddits by Reddit's API, as an application of its own (OAuth2 client credentials)."""

from __future__ import annotations

import time
from typing import Any

import httpx

from feeders.sources.polling import Cursor, Poll, SetupError, ask, decoded, post, wait_of

_SETTING = "CHCTL_REDDIT_CLIENT_ID, CHCTL_REDDIT_CLIENT_SECRET and CHCTL_REDDIT_SUBREDDITS"
#: Pages of 100 posts that one poll reads back at most; Reddit lists 1000 posts at most.
_PAGES = 10


class Reddit:
    """Reads back from the newest post to those seen before: paging forward from a post breaks when it is deleted."""

    name = "reddit"

    def __init__(
        self,
        client: httpx.AsyncClient,
        subreddits: list[str],
        client_id: str,
        secret: str,
        *,
        auth_url: str = "https://www.reddit.com",
        url: str = "https://oauth.reddit.com",
        interval: float = 60.0,
    ) -> None:
        self._client = client
        self._subreddits = "+".join(subreddits)
        self._auth = httpx.BasicAuth(client_id, secret)
        self._auth_url = auth_url
        self._url = url
        self._interval = interval
        self._token = ""
        self._expires = 0.0

    async def poll(self, cursor: Cursor) -> Poll:
        """Posts newer than those of the last poll, oldest first. Raises LaterError and SetupError."""
        seen = set(cursor.get("seen", []))
        newest = float(cursor.get("created", 0))
        found: dict[str, dict[str, Any]] = {}
        after = ""
        wait = self._interval
        for _ in range(_PAGES if newest else 1):
            response = await self._listing(after)
            listing = decoded(response, _SETTING).get("data", {})
            children = [c["data"] for c in listing.get("children", []) if c.get("kind") == "t3"]
            found |= {c["name"]: c for c in children if c["name"] not in seen and c["created_utc"] >= newest}
            if float(response.headers.get("x-ratelimit-remaining", 100)) < 1:
                wait = max(wait, wait_of(response.headers) or wait)
                break
            after = listing.get("after") or ""
            if not after or not children or any(c["name"] in seen or c["created_utc"] < newest for c in children):
                break
        ordered = sorted(found.values(), key=lambda c: c["created_utc"])
        latest = ordered[-1]["created_utc"] if ordered else newest
        names = [*cursor.get("seen", []), *(c["name"] for c in ordered)][-1000:]
        return Poll([self._post(c) for c in ordered], {"created": latest, "seen": names}, wait)

    async def _listing(self, after: str) -> httpx.Response:
        for attempt in (1, 2):
            token = await self._bearer()
            try:
                return await ask(
                    self._client,
                    "GET",
                    f"{self._url}/r/{self._subreddits}/new",
                    setting=_SETTING,
                    params={"limit": 100, "raw_json": 1} | ({"after": after} if after else {}),
                    headers={"authorization": f"Bearer {token}"},
                )
            except SetupError:
                self._token = ""  # it may have expired early
                if attempt == 2:
                    raise
        raise AssertionError

    async def _bearer(self) -> str:
        if not self._token or time.monotonic() > self._expires:
            response = await ask(
                self._client,
                "POST",
                f"{self._auth_url}/api/v1/access_token",
                setting=_SETTING,
                data={"grant_type": "client_credentials"},
                auth=self._auth,
            )
            answer = decoded(response, _SETTING)
            if "access_token" not in answer:
                raise SetupError(f"Reddit gives no token: check {_SETTING}")
            self._token = answer["access_token"]
            self._expires = time.monotonic() + float(answer.get("expires_in", 3600)) - 60
        return self._token

    @staticmethod
    def _post(c: dict[str, Any]) -> dict[str, Any]:
        text = "\n".join(filter(None, (c.get("title", ""), c.get("selftext", ""))))
        return post(
            f"reddit:{c['name']}",
            float(c["created_utc"]),
            "reddit",
            text,
            author=c.get("author") or "",
            url=f"https://www.reddit.com{c.get('permalink', '')}",
            engagement=int(c.get("score", 0)) + int(c.get("num_comments", 0)),
            metadata={"subreddit": c.get("subreddit", "")},
        )
