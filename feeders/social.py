"""The social feeder: `social_raw` in, `social_processed` out, with sentiment, without personal data, within a budget.

A window of posts is read, redacted, rated and published; its offsets are committed once the broker has every row, and
every post that was given up stands in `rejected_events`, redacted. A crash before that repeats the window: answers that
were paid for come from the ledger, and rows replace themselves by event_id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import openai
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import Message
from prometheus_client import Counter, Histogram

from chctl import clickhouse
from chctl.contracts import load_all
from chctl.settings import Settings
from feeders.analysis.backfill import Backfill
from feeders.analysis.faults import MisconfiguredError
from feeders.analysis.group_budget import GroupBudget
from feeders.analysis.ledger import Ledger, Limits
from feeders.analysis.model import Answer, Origin, Post, Question
from feeders.analysis.openai_provider import OpenAIProvider, Options, Prices, ProviderStoppedError
from feeders.analysis.pipeline import Lookup, Pipeline
from feeders.analysis.posts import read_post
from feeders.analysis.redaction import author_key
from feeders.analysis.symbols import SymbolFinder, load_aliases
from feeders.analysis.tokens import count
from feeders.analysis.vectors import open_milvus
from feeders.runtime import Publisher, Reader, Stop, Supervisor, serve_metrics

log = structlog.get_logger()

RAW, PROCESSED = "social_raw", "social_processed"
GROUP = "chctl.social.social_raw"
BACKFILL_GROUP = "chctl.social_backfill.social_raw"

WINDOW = Histogram(
    "chctl_social_window_seconds", "From the last post of a window to its rows on the broker.",
    buckets=(0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)  # fmt: skip
REJECTED = Counter("chctl_social_rejected_total", "Posts that went to rejected_events.", ["reason"])

#: Seconds between two looks into `symbol_aliases`.
ALIASES_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row for `rejected_events`; `raw` is redacted."""

    origin: Origin
    reason: str
    raw: str
    kafka_time: datetime


@dataclass
class Report:
    """What a run came to."""

    posts: int = 0
    rows: int = 0
    rejected: int = 0
    windows: int = 0
    seconds_waiting: float = 0.0  # for the provider
    seconds_working: float = 0.0  # in this process
    by_model: dict[str, int] = field(default_factory=dict)


class SocialReader(Reader):
    """A reader that stays a member of its group while a window waits for a slow provider."""

    def idle(self) -> None:
        """Serve the group without reading: partitions may come and go, no message is taken."""
        self._consumer.pause(assigned := self._consumer.assignment())
        if (message := self._consumer.poll(0)) is not None and message.error() is None:
            raise RuntimeError("a paused consumer handed out a message")
        self._consumer.resume(assigned)


class Symbols:
    """The finder for the aliases in ClickHouse, looked up again once a minute; an outage keeps the last ones."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client
        self._finder: SymbolFinder | None = None
        self._loaded = 0.0

    def find(self, text: str) -> list[str]:
        """Symbols in a redacted text. Raises a driver's error only while no aliases were ever loaded."""
        now = time.monotonic()
        if self._finder is None or now - self._loaded > ALIASES_EVERY:
            try:
                self._finder = SymbolFinder(load_aliases(self._client()))
            except (Error, OSError) as error:
                if self._finder is None:
                    raise
                log.warning("aliases of symbols not refreshed", error=type(error).__name__)
            self._loaded = now
        return self._finder.find(text)


def _lines(message: Message) -> Iterator[bytes]:
    """The rows of a message."""
    return (line for line in (message.value() or b"").splitlines() if line.strip())


@dataclass
class SocialFeeder:
    """The loop. `check` says why a line breaks the contract of social_raw, `find` gives the symbols of a text, `reject`
    must not return before the rejections are safe.
    """

    reader: SocialReader
    publisher: Publisher
    pipeline: Pipeline
    key: bytes
    check: Callable[[bytes], list[str]]
    find: Callable[[str], list[str]]
    reject: Callable[[list[Rejection]], None]
    window_posts: int = 500
    window_seconds: float = 2.0
    stop: Stop = field(default_factory=Stop)
    supervisor: Supervisor = field(default_factory=Supervisor)
    drain_seconds: float = 20.0
    until_idle: float | None = None  # end after so many seconds without a post (backfill, tests)

    async def run(self) -> Report:
        """Until stopped. Raises PublishError and MisconfiguredError: the window is then read again by the next run."""
        report = Report()
        self.supervisor.ready("waiting for posts")
        last_post = time.monotonic()
        while not self.stop():
            messages = await self._read()
            self.supervisor.progress()
            if not messages:
                if self.until_idle is not None and time.monotonic() - last_post > self.until_idle:
                    break
                continue
            last_post = time.monotonic()
            if not await self._handle(messages, report):
                break
        self.supervisor.stopping()
        log.info("feed ended", posts=report.posts, rows=report.rows, rejected=report.rejected)
        return report

    async def _read(self) -> list[Message]:
        """Messages until they hold enough posts or the window's time is up, whichever comes first."""
        messages: list[Message] = []
        posts = 0
        opened = time.monotonic()
        while posts < self.window_posts and not self.stop():
            left = opened + self.window_seconds - time.monotonic()
            if left <= 0:
                break
            wait = min(left, 0.2)
            found = await asyncio.to_thread(self.reader.read, self.window_posts - posts, wait)
            messages += found
            posts += sum(1 for message in found for _ in _lines(message))
            if found:
                log.debug("window open", messages=len(messages))
        return messages

    async def _handle(self, messages: list[Message], report: Report) -> bool:
        """One window, up to its commit; False if the end was asked for before it was done."""
        started = time.monotonic()
        posts = await asyncio.to_thread(self._posts, messages)
        prepared = time.monotonic()
        task = asyncio.create_task(self.pipeline.process(posts))
        if not await self._wait(task):
            return False
        window = task.result()
        waited = time.monotonic()
        for event_id, row in window.rows:
            self.publisher.add(PROCESSED, event_id, row)
            await self.publisher.room(self.supervisor.progress)
        rejections = [
            Rejection(p.origin, f"sentiment: {r.reason}", p.text, datetime.fromtimestamp(p.event_time / 1000, UTC))
            for p, r in window.rejected
        ]
        if rejections:
            for rejection in rejections:
                REJECTED.labels(rejection.reason).inc()
            if not await self._safely(lambda: self.reject(rejections)):
                return False
        while not await asyncio.to_thread(self.publisher.drain, 1.0):
            self.supervisor.progress()
            await asyncio.to_thread(self.reader.idle)
            if self.stop() and time.monotonic() - waited > self.drain_seconds:
                return False
        await asyncio.to_thread(self.reader.commit)
        ended = time.monotonic()
        WINDOW.observe(ended - started)
        report.posts += len(posts)
        report.rows += len(window.rows)
        report.rejected += len(rejections)
        report.windows += 1
        report.seconds_waiting += waited - prepared
        report.seconds_working += (prepared - started) + (ended - waited)
        self.supervisor.progress()
        return True

    def _posts(self, messages: list[Message]) -> list[Post]:
        """The posts in messages. What breaks the contract is passed over: the node reads the topic too, and keeps its
        hash and the reason in rejected_events.
        """
        posts: list[Post] = []
        for message in messages:
            origin = Origin(message.topic() or RAW, message.partition() or 0, message.offset() or 0)
            for line in _lines(message):
                if self.check(line):
                    REJECTED.labels("contract").inc()
                else:
                    posts.append(read_post(line, origin, self.key, self.find))
        return posts

    async def _wait(self, task: asyncio.Task[object]) -> bool:
        """Wait for a window; False if the end was asked for and the window did not end in time."""
        stopped: float | None = None
        try:
            while not task.done():
                await asyncio.wait([task], timeout=0.5)
                if task.done():
                    break
                await asyncio.to_thread(self.reader.idle)
                if self.stop():
                    stopped = stopped or time.monotonic()
                    if time.monotonic() - stopped > self.drain_seconds:
                        if self.pipeline.provider:
                            self.pipeline.provider.stopping.set()
                        return False
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=5)
        try:
            task.result()
        except ProviderStoppedError:
            return False
        return True

    async def _safely(self, write: Callable[[], None]) -> bool:
        """Repeat until the node takes it: nothing is committed before."""
        wait = 0.1
        while True:
            try:
                await asyncio.to_thread(write)
            except (Error, OSError) as error:
                log.error("rejected_events cannot be written: the window waits", error=type(error).__name__)
                if self.stop():
                    return False
                self.supervisor.progress()
                await asyncio.to_thread(self.reader.idle)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 10)
            else:
                return True


# --- against a real node ----------------------------------------------------------------------------------------------


def reject_into(client: Callable[[], Client]) -> Callable[[list[Rejection]], None]:
    """Write rejections to the table `rejected_events`; delivered twice, a row replaces itself."""

    def reject(rejections: list[Rejection]) -> None:
        now = datetime.now(UTC)
        client().insert(
            "rejected_events",
            [
                (r.origin.topic, r.origin.partition, r.origin.offset, r.reason, r.raw, r.kafka_time, now)
                for r in rejections
            ],
            column_names=["topic", "partition", "offset", "reason", "raw", "kafka_time", "ingest_time"],
        )

    return reject


def lookup_in(client: Callable[[], Client]) -> Lookup:
    """Answers that social_buzz has: a new host, or one that lost its ledger, need not pay for them again."""

    def lookup(keys: list[int], model: str) -> dict[int, Answer]:
        rows = (
            client()
            .query(
                """
            SELECT
                text_hash,
                any(sentiment_score),
                any(sentiment_label),
                any(confidence),
                any(tokens_count)
            FROM social_buzz
            WHERE model = {model:String} AND text_hash IN {keys:Array(UInt64)}
            GROUP BY text_hash
            """,
                parameters={"model": model, "keys": keys},
            )
            .result_rows
        )
        return {k: Answer(score, label, confidence, model, tokens, 0.0) for k, score, label, confidence, tokens in rows}

    return lookup


def provider_of(s: Settings, ledger: Ledger, progress: Callable[[], None] = lambda: None) -> OpenAIProvider | None:
    """The provider that the settings name; None is the local lexicon."""
    key = s.openai_api_key.get_secret_value()
    if not key:
        return None
    client = openai.AsyncOpenAI(
        api_key=key, base_url=s.openai_base_url or None, max_retries=0, timeout=s.social_timeout_s
    )
    options = Options(
        model=s.social_model,
        embedding_model=s.social_embedding_model,
        embedding_dimensions=s.social_embedding_dimensions,
        items=s.social_request_items,
        tokens=s.social_request_tokens,
        concurrency=s.social_concurrency,
        prices=Prices(s.social_price_input, s.social_price_output, s.social_price_embedding),
    )
    return OpenAIProvider(client, ledger, options, progress=progress)


def ledger_of(s: Settings, client: Callable[[], Client]) -> Ledger:
    """The group's ledger on this host, under the group's budget in ClickHouse."""
    limits = Limits(s.social_usd_per_day, s.social_tokens_per_minute, s.social_ahead_hours)
    return Ledger(s.social_ledger or s.data_dir / "social.sqlite3", limits, group=GroupBudget(client, limits))


def key_of(s: Settings) -> bytes:
    """The key that hashes authors: from the settings, or made once in the data folder."""
    return s.social_author_key.get_secret_value().encode() or author_key(s.data_dir / "author.key")


async def run_social(
    s: Settings,
    *,
    stop: Stop | None = None,
    until_idle: float | None = None,
    kafka: dict[str, Any] | None = None,
    group: str = GROUP,
) -> Report:
    """Run the feeder as the settings say, until stopped. Waits for `symbol_aliases`: run `chctl migrate` first.

    `kafka` changes settings of the consumer.
    """
    stop = stop or Stop()
    supervisor = Supervisor()
    opened: list[Client] = []

    def client() -> Client:
        if not opened:
            opened.append(clickhouse.connect(s))
        return opened[0]

    ledger = ledger_of(s, client)
    provider = provider_of(s, ledger, supervisor.progress)
    log.info("sentiment", model=provider.model if provider else "lexicon", usd_per_day=s.social_usd_per_day)
    symbols = Symbols(client)
    while not stop():
        try:
            symbols.find("")
            break
        except (Error, OSError) as error:
            log.warning("waiting for the table symbol_aliases: run `chctl migrate`", error=type(error).__name__)
            await asyncio.sleep(1)
    vectors = open_milvus(s) if provider else None
    pipeline = Pipeline(ledger, provider, lookup_in(client), vectors, s.social_embed_top if provider else 0)
    publisher = Publisher(s)
    contract = next(c for c in load_all(s.project_dir / "contracts") if c.topic == RAW)
    reader = SocialReader(s, group, [RAW], config=kafka)
    feeder = SocialFeeder(
        reader, publisher, pipeline, key_of(s), contract.line_reasons, symbols.find, reject_into(client),
        s.social_batch_items, s.social_batch_seconds, stop, supervisor, until_idle=until_idle,
    )  # fmt: skip
    close_metrics = serve_metrics(s)
    try:
        ledger.prune()
        return await feeder.run()
    finally:
        reader.close()
        publisher.close(5)
        ledger.close()
        close_metrics()
        for c in opened:
            c.close()


async def run_backfill(
    s: Settings, *, stop: Stop | None = None, idle_seconds: float = 10.0, kafka: dict[str, Any] | None = None
) -> Report:
    """Rate everything that social_raw still holds, by the Batch API, then publish it; ends by itself.

    Reads the topic twice, in a group of its own: once for the texts nobody has rated, once for the rows. What the
    batches left open is asked live. Stopped or killed, the next run waits for the batches that were paid for.
    Raises MisconfiguredError without a key.
    """
    stop = stop or Stop()
    if not s.openai_api_key.get_secret_value():
        raise MisconfiguredError("a backfill needs a model: set CHCTL_OPENAI_API_KEY")
    contract = next(c for c in load_all(s.project_dir / "contracts") if c.topic == RAW)
    with clickhouse.connect(s) as client:
        lookup = lookup_in(lambda: client)
        ledger = ledger_of(s, lambda: client)
        provider = provider_of(s, ledger)
        assert provider is not None
        backfill = Backfill(provider, provider.client, ledger, poll_seconds=s.social_batch_poll_s)
        await backfill.finish(stop)
        reader = SocialReader(s, BACKFILL_GROUP, [RAW], config=kafka)
        try:
            async for questions in _unrated(
                reader, contract.line_reasons, ledger, lookup, provider.model, idle_seconds
            ):
                if stop():
                    break
                await backfill.submit(questions)
        finally:
            reader.close()  # nothing was committed: the second reading starts at the same place
        await backfill.finish(stop)
        ledger.close()
    return await run_social(s, stop=stop, until_idle=idle_seconds, kafka=kafka, group=BACKFILL_GROUP)


async def _unrated(
    reader: SocialReader,
    check: Callable[[bytes], list[str]],
    ledger: Ledger,
    lookup: Lookup,
    model: str,
    idle_seconds: float,
    size: int = 20_000,
) -> AsyncIterator[list[Question]]:
    """The distinct texts in the topic without an answer, in lots, until nothing has come for a while."""
    texts: dict[int, str] = {}
    seen: set[int] = set()
    last = time.monotonic()
    while time.monotonic() - last < idle_seconds:
        for message in await asyncio.to_thread(reader.read, 1000, 0.5):
            last = time.monotonic()
            for line in (message.value() or b"").splitlines():
                if line.strip() and not check(line):
                    post = read_post(line, Origin(RAW, 0, 0), b"unused", lambda _: [])
                    if post.text_hash not in seen:
                        seen.add(post.text_hash)
                        texts[post.text_hash] = post.text
        if len(texts) >= size:
            yield _open_questions(texts, ledger, lookup, model)
            texts = {}
    if texts:
        yield _open_questions(texts, ledger, lookup, model)


def _open_questions(texts: dict[int, str], ledger: Ledger, lookup: Lookup, model: str) -> list[Question]:
    known = set(ledger.answers(texts, model))
    missing = [k for k in texts if k not in known]
    for first in range(0, len(missing), 1000):
        found = lookup(missing[first : first + 1000], model)
        ledger.remember(found)
        known |= found.keys()
    return [Question(k, text, count(text)) for k, text in texts.items() if k not in known]
