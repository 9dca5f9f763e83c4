"""News by RSS and Atom: conditional requests, each item once."""

from __future__ import annotations

import calendar
import re
import time
from hashlib import blake2b
from html import unescape
from typing import Any

import feedparser
import httpx
import structlog

from feeders.sources.polling import Cursor, LaterError, Poll, SetupError, ask, post

log = structlog.get_logger()

_TAG = re.compile(r"<[^>]*>")
#: Ids of a feed that are remembered; feeds hold some dozens of items.
_REMEMBERED = 500


class Rss:
    """One poll asks each feed once; a feed that fails is tried again with the next poll, or when it said."""

    name = "rss"

    def __init__(self, client: httpx.AsyncClient, urls: list[str], *, interval: float = 120.0) -> None:
        self._client = client
        self._urls = urls
        self._interval = interval

    async def poll(self, cursor: Cursor) -> Poll:
        """Items that were not seen before. Raises LaterError if every feed fails, SetupError if each refuses us."""
        posts: list[dict[str, Any]] = []
        after = dict(cursor)
        failed: list[LaterError | SetupError] = []
        for url in self._urls:
            state = cursor.get(url, {})
            if (wait := state.get("not_before", 0.0) - time.time()) > 0:
                failed.append(LaterError("asked to wait", wait))
                continue
            try:
                found, after[url] = await self._feed(url, state)
                posts += found
            except LaterError as error:
                failed.append(error)
                if error.wait is not None:
                    after[url] = {**state, "not_before": time.time() + error.wait}
            except SetupError as error:  # one feed that is closed to us must not silence the others
                failed.append(error)
                log.error("feed refused", host=httpx.URL(url).host, error=str(error))
        if len(failed) == len(self._urls):
            raise next((error for error in failed if isinstance(error, LaterError)), failed[0])
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
            f"news:{_hash(name)}",
            min(at, time.time()),
            "news",
            text,
            author=str(entry.get("author", "")),
            language=str(feed.get("language", "")),
            url=str(entry.get("link", "")),
            metadata={"feed": str(feed.get("title", ""))},
        )


def _hash(name: str) -> str:
    """An id is often a link, with who knows what in it: it does not leave this process."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _text(markup: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", markup)).split())
