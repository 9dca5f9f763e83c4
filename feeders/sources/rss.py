"""News by RSS and Atom: conditional requests, each item once."""

from __future__ import annotations

import calendar
import re
import time
from html import unescape
from typing import Any

import feedparser
import httpx

from feeders.sources.polling import Cursor, LaterError, Poll, ask, post

_TAG = re.compile(r"<[^>]*>")
#: Ids of a feed that are remembered; feeds hold some dozens of items.
_REMEMBERED = 500


class Rss:
    """One poll asks each feed once; a feed that fails is tried again with the next poll."""

    name = "rss"

    def __init__(self, client: httpx.AsyncClient, urls: list[str], *, interval: float = 120.0) -> None:
        self._client = client
        self._urls = urls
        self._interval = interval

    async def poll(self, cursor: Cursor) -> Poll:
        """Items that were not seen before. Raises LaterError if every feed fails."""
        posts: list[dict[str, Any]] = []
        after = dict(cursor)
        failed: LaterError | None = None
        failures = 0
        for url in self._urls:
            try:
                found, state = await self._feed(url, cursor.get(url, {}))
            except LaterError as error:
                failed, failures = error, failures + 1
                continue
            posts += found
            after[url] = state
        if failed and failures == len(self._urls):
            raise failed
        return Poll(posts, after, self._interval)

    async def _feed(self, url: str, state: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        headers = {}
        if etag := state.get("etag"):
            headers["if-none-match"] = etag
        if modified := state.get("modified"):
            headers["if-modified-since"] = modified
        response = await ask(self._client, "GET", url, setting="CHCTL_COLLECT_RSS_URLS", headers=headers)
        if response.status_code == 304:
            return [], state
        if response.status_code != 200:
            raise LaterError(str(response.status_code))
        # sanitize_html is feedparser's own; what is left of markup goes below.
        feed = feedparser.parse(response.content, response_headers=dict(response.headers))
        if feed.bozo and not feed.entries:
            raise LaterError("not a feed")
        seen: list[str] = state.get("seen", [])
        known = set(seen)
        posts = []
        for entry in feed.entries:
            name = str(entry.get("id") or entry.get("link") or entry.get("title") or "")
            if not name or name in known:
                continue
            known.add(name)
            seen = [*seen, name]
            posts.append(self._post(entry, name, feed.feed))
        after = {
            "etag": response.headers.get("etag", ""),
            "modified": response.headers.get("last-modified", ""),
            "seen": seen[-_REMEMBERED:],
        }
        return posts, after

    @staticmethod
    def _post(entry: Any, name: str, feed: Any) -> dict[str, Any]:
        published = entry.get("published_parsed") or entry.get("updated_parsed")
        at = float(calendar.timegm(published)) if published else time.time()
        title, summary = _text(entry.get("title", "")), _text(entry.get("summary", ""))
        text = title if summary.startswith(title) and len(summary) == len(title) else f"{title}. {summary}".strip(". ")
        return post(
            f"news:{name}",
            min(at, time.time()),
            "news",
            text,
            author=str(entry.get("author", "")),
            language=str(feed.get("language", "")),
            url=str(entry.get("link", "")),
            metadata={"feed": str(feed.get("title", ""))},
        )


def _text(markup: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", markup)).split())
