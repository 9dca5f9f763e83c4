"""Collectors: posts from feeds, forums, chats and chains into `social_raw`.

A collector (feeders/sources/) asks its service for what is new since a cursor; this loop publishes the posts, and moves
the cursor once the broker has them. A crash in between publishes some posts again, under the same event_id. One process
runs one collector; it waits as long as the service says.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import structlog
from prometheus_client import Counter, Gauge

from chctl.settings import Settings
from feeders.runtime import Publisher, Stop, Supervisor, serve_metrics
from feeders.sources.polling import Collector, Cursor, LaterError, SetupError

log = structlog.get_logger()

TOPIC = "social_raw"

POSTS = Counter("chctl_collect_posts_total", "Posts published.", ["collector"])
ERRORS = Counter("chctl_collect_errors_total", "Polls that failed, by reason.", ["collector", "reason"])
LAST = Gauge("chctl_collect_last_success_seconds", "Time of the last poll that succeeded.", ["collector"])


class CursorFile:
    """A collector's cursor, replaced as a whole: a crash leaves the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> Cursor:
        """The cursor, {} where there is none."""
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def write(self, cursor: Cursor) -> None:
        """Keep the cursor."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(cursor))
        part.replace(self._path)


@dataclass
class CollectReport:
    """What a run came to."""

    posts: int = 0
    polls: int = 0
    errors: int = 0


@dataclass
class Collecting:
    """The loop over one collector; `polls` ends it after so many polls that succeeded."""

    collector: Collector
    publisher: Publisher
    cursors: CursorFile
    stop: Stop = field(default_factory=Stop)
    supervisor: Supervisor = field(default_factory=Supervisor)
    polls: int | None = None
    first_backoff: float = 2.0
    longest_backoff: float = 300.0

    async def run(self) -> CollectReport:
        """Until stopped. Raises SetupError and PublishError."""
        report = CollectReport()
        name = self.collector.name
        cursor = self.cursors.read()
        failures = 0
        self.supervisor.ready(f"collecting {name}")
        while not self.stop() and (self.polls is None or report.polls < self.polls):
            try:
                poll = await self.collector.poll(cursor)
            except LaterError as error:
                failures += 1
                report.errors += 1
                ERRORS.labels(name, error.reason).inc()
                backoff = min(self.longest_backoff, self.first_backoff * 2 ** (failures - 1)) * random.uniform(0.5, 1)
                wait = backoff if error.wait is None else error.wait
                log.warning("collect", collector=name, reason=error.reason, wait=round(wait, 2))
                await self._sleep(wait)
                continue
            failures = 0
            for post in poll.posts:
                self.publisher.add(
                    TOPIC, post["source"], json.dumps(post, ensure_ascii=False).encode("utf-8", "replace")
                )
                await self.publisher.room(self.supervisor.progress)
            while not await asyncio.to_thread(self.publisher.drain, 1.0):
                self.supervisor.progress()
                if self.stop():
                    return report
            if poll.cursor != cursor:
                self.cursors.write(poll.cursor)
                cursor = poll.cursor
            report.polls += 1
            report.posts += len(poll.posts)
            POSTS.labels(name).inc(len(poll.posts))
            LAST.labels(name).set(time.time())
            self.supervisor.progress()
            if self.polls is None or report.polls < self.polls:
                await self._sleep(poll.wait)
        self.supervisor.stopping()
        log.info("collect ended", collector=name, posts=report.posts, polls=report.polls)
        return report

    async def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stop() and (left := deadline - time.monotonic()) > 0:
            self.supervisor.progress()
            await asyncio.sleep(min(left, 0.5))


# --- by the settings


def http_client(user_agent: str = "chctl/0.1 (market surveillance)") -> httpx.AsyncClient:
    """A client with limits. Its URLs are never logged: some services want a token in them."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(40, connect=10), headers={"user-agent": user_agent}, follow_redirects=True
    )


def collector_of(s: Settings, source: str, client: httpx.AsyncClient) -> Collector:
    """The collector of that name as the settings say. Raises SetupError that names what is missing."""
    from feeders.sources.onchain import Onchain, parse_tokens
    from feeders.sources.reddit import Reddit
    from feeders.sources.rss import Rss
    from feeders.sources.telegram import Telegram
    from feeders.sources.x import X

    interval: dict[str, Any] = {"interval": s.collect_interval_s} if s.collect_interval_s else {}

    def secret(name: str) -> str:
        value: str = getattr(s, name).get_secret_value()
        if not value:
            raise SetupError(f"set CHCTL_{name.upper()}, or put a file {name} into the secrets directory")
        return value

    if source == "rss":
        urls = _list(s.collect_rss_urls)
        if not urls:
            raise SetupError("set CHCTL_COLLECT_RSS_URLS to the feeds' addresses, comma-separated")
        return Rss(client, urls, **interval)
    if source == "reddit":
        if not s.reddit_client_id:
            raise SetupError("set CHCTL_REDDIT_CLIENT_ID")
        return Reddit(
            client,
            _list(s.reddit_subreddits),
            s.reddit_client_id,
            secret("reddit_client_secret"),
            auth_url=s.reddit_auth_url,
            url=s.reddit_url,
            **interval,
        )
    if source == "telegram":
        return Telegram(client, secret("telegram_bot_token"), url=s.telegram_url)
    if source == "x":
        return X(client, secret("x_bearer_token"), s.x_query, url=s.x_url, **interval)
    if source == "onchain":
        try:
            tokens = parse_tokens(s.onchain_tokens)
        except ValueError as error:
            raise SetupError(str(error)) from None
        return Onchain(
            client,
            secret("onchain_rpc_url"),
            tokens,
            chain=s.onchain_chain,
            native=s.onchain_native,
            native_large=s.onchain_native_large,
            confirmations=s.onchain_confirmations,
            **interval,
        )
    raise SetupError(f"no collector {source!r}: choose one of {', '.join(SOURCES)}")


#: What `chctl feed collect --source` takes.
SOURCES = ("rss", "reddit", "telegram", "x", "onchain")


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


async def run_collect(s: Settings, source: str, *, stop: Stop | None = None, polls: int | None = None) -> CollectReport:
    """Collect from one source until stopped. Raises SetupError."""
    async with http_client() as client:
        collector = collector_of(s, source, client)
        publisher = Publisher(s)
        close_metrics = serve_metrics(s)
        try:
            cursors = CursorFile(s.data_dir / "collect" / f"{source}.json")
            return await Collecting(collector, publisher, cursors, stop or Stop(), polls=polls).run()
        finally:
            publisher.close(5)
            close_metrics()
