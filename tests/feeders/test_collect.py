"""Collectors against servers on loopback that speak each service's protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chctl.contracts import load_all
from chctl.settings import PROJECT_DIR, Settings
from feeders.collect import (
    SOURCES,
    Collecting,
    CursorFile,
    collector_of,
    http_client,
)
from feeders.runtime import Stop
from feeders.sources.onchain import TRANSFER, Onchain, Token, parse_tokens
from feeders.sources.polling import Collector, Cursor, LaterError, Poll, SetupError
from feeders.sources.reddit import Reddit
from feeders.sources.rss import Rss
from feeders.sources.telegram import Telegram
from feeders.sources.x import X

Handler = Callable[[Request, bytes], Response]


class Service:
    """One handler for every path; keeps what it was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Request] = []
        self.url = ""

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append(request)
        return self.handler(request, body)


@contextmanager
def serving(handler: Handler) -> Iterator[Service]:
    service = Service(handler)
    listener = socket.create_server(("127.0.0.1", 0))
    service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Starlette(routes=[Route("/{path:path}", service.__call__, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def poll(make: Callable[[httpx.AsyncClient], Collector], cursor: Cursor) -> Poll:
    async def run() -> Poll:
        async with http_client() as client:
            return await make(client).poll(cursor)

    result = asyncio.run(run())
    contract = next(c for c in load_all(PROJECT_DIR / "contracts") if c.topic == "social_raw")
    for row in result.posts:
        assert contract.reasons(row) == []
    json.dumps(result.cursor)
    return result


# --- RSS and Atom

RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Coin News</title><language>en</language>
<item><guid>g1</guid><title>ETF &amp;amp; more approved</title><description>&lt;p&gt;Bitcoin
&lt;b&gt;rallies&lt;/b&gt;&lt;/p&gt;</description>
<pubDate>Thu, 08 Aug 2024 23:54:00 GMT</pubDate><link>https://example.org/1</link></item>
<item><guid>g2</guid><title>Exchange halts withdrawals</title><pubDate>Thu, 08 Aug 2024 23:55:00 GMT</pubDate></item>
</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title>
<entry><id>urn:1</id><title>Mainnet</title><updated>2024-08-08T23:54:00Z</updated><author><name>Ann</name></author></entry></feed>"""


def news(name: str) -> str:
    """The event_id of an item: a hash, for an id is often a link, with who knows what in it."""
    return "news:" + blake2b(name.encode(), digest_size=16).hexdigest()


def test_rss_asks_conditionally_and_gives_each_item_once() -> None:
    body = [RSS]

    def handler(request: Request, _body: bytes) -> Response:
        if request.headers.get("if-none-match") == '"v1"' and body[0] == RSS:
            return Response(status_code=304)
        return Response(body[0], headers={"etag": '"v1"', "content-type": "application/rss+xml"})

    with serving(handler) as service:
        first = poll(lambda c: Rss(c, [f"{service.url}/feed"]), {})
        assert [p["event_id"] for p in first.posts] == [news("g1"), news("g2")]
        assert first.posts[0]["text"] == "ETF & more approved. Bitcoin rallies"
        assert first.posts[0]["event_time"] == 1723161240000
        second = poll(lambda c: Rss(c, [f"{service.url}/feed"]), first.cursor)
        assert (second.posts, second.cursor) == ([], first.cursor)
        body[0] = RSS.replace("g2", "g3")
        third = poll(lambda c: Rss(c, [f"{service.url}/feed"]), second.cursor)
        assert [p["event_id"] for p in third.posts] == [news("g3")]


def test_a_broken_feed_does_not_stop_the_others() -> None:
    def handler(request: Request, _body: bytes) -> Response:
        return Response("<html>oops") if "broken" in request.url.path else Response(ATOM)

    with serving(handler) as service:
        found = poll(lambda c: Rss(c, [f"{service.url}/broken", f"{service.url}/atom"]), {})
        assert [(p["event_id"], p["author"]) for p in found.posts] == [(news("urn:1"), "Ann")]
        with pytest.raises(LaterError, match="not a feed"):
            poll(lambda c: Rss(c, [f"{service.url}/broken"]), {})


def test_a_feed_that_refuses_us_or_wants_to_wait_does_not_stop_the_others() -> None:
    asked: list[str] = []

    def handler(request: Request, _body: bytes) -> Response:
        asked.append(request.url.path)
        if request.url.path == "/closed":
            return Response(status_code=403)
        if request.url.path == "/busy":
            return Response(status_code=429, headers={"retry-after": "600"})
        return Response(ATOM)

    with serving(handler) as service:
        urls = [f"{service.url}{path}" for path in ("/closed", "/busy", "/atom")]
        first = poll(lambda c: Rss(c, urls), {})
        assert [p["event_id"] for p in first.posts] == [news("urn:1")]
        second = poll(lambda c: Rss(c, urls), first.cursor)
        assert second.posts == []
        assert asked == ["/closed", "/busy", "/atom", "/closed", "/atom"]  # /busy is left alone for ten minutes
        with pytest.raises(LaterError) as waiting:
            poll(lambda c: Rss(c, urls[:2]), second.cursor)
        assert 500 < (waiting.value.wait or 0) <= 600
        with pytest.raises(SetupError, match="CHCTL_COLLECT_RSS_URLS"):
            poll(lambda c: Rss(c, urls[:1]), {})


# --- Reddit


def reddit_post(i: int) -> dict[str, Any]:
    data = {
        "name": f"t3_{i}", "created_utc": 1_700_000_000 + i, "title": f"title {i}", "selftext": "", "author": "joe",
        "score": 3, "num_comments": 2, "subreddit": "Bitcoin", "permalink": f"/r/Bitcoin/{i}",
    }  # fmt: skip
    return {"kind": "t3", "data": data}


def test_reddit_reads_back_to_what_it_has_seen() -> None:
    posts = [reddit_post(i) for i in range(250)]

    def handler(request: Request, body: bytes) -> Response:
        if request.url.path.endswith("access_token"):
            assert request.headers["authorization"].startswith("Basic ")
            assert body == b"grant_type=client_credentials"
            return JSONResponse({"access_token": "one", "expires_in": 3600})
        assert request.headers["authorization"] == "Bearer one"
        newest = posts[::-1]
        after = request.query_params.get("after")
        start = next((i + 1 for i, p in enumerate(newest) if p["data"]["name"] == after), 0)
        page = newest[start : start + 100]
        following = page[-1]["data"]["name"] if start + 100 < len(newest) else None
        return JSONResponse({"data": {"children": page, "after": following}}, headers={"x-ratelimit-remaining": "90.0"})

    with serving(handler) as service:

        def make(client: httpx.AsyncClient) -> Reddit:
            return Reddit(client, ["Bitcoin"], "id", "secret", auth_url=service.url, url=service.url)

        first = poll(make, {})
        assert len(first.posts) == 100  # a first run takes the newest page, not all there is
        assert first.posts[-1]["event_id"] == "reddit:t3_249"
        posts.extend(reddit_post(i) for i in range(250, 400))
        del posts[249]  # the newest of those seen is gone: nothing hangs on it
        second = poll(make, first.cursor)
        assert [p["event_id"] for p in second.posts] == [f"reddit:t3_{i}" for i in range(250, 400)]
        assert second.posts[0]["engagement"] == 5


def test_reddit_renews_a_token_that_was_taken_away() -> None:
    valid = ["one"]

    def handler(request: Request, _body: bytes) -> Response:
        if request.url.path.endswith("access_token"):
            return JSONResponse({"access_token": valid[0], "expires_in": 3600})
        if request.headers["authorization"] != f"Bearer {valid[0]}":
            return Response(status_code=401)
        return JSONResponse({"data": {"children": [reddit_post(1)], "after": None}})

    async def run(url: str) -> list[int]:
        async with http_client() as client:
            collector = Reddit(client, ["Bitcoin"], "id", "secret", auth_url=url, url=url)
            first = await collector.poll({})
            valid[0] = "two"
            return [len(first.posts), len((await collector.poll({})).posts)]

    with serving(handler) as service:
        assert asyncio.run(run(service.url)) == [1, 1]


# --- Telegram


def test_telegram_moves_its_offset_only_behind_what_was_taken() -> None:
    channel, group, private = (
        {"id": i, "type": t, "title": t} for i, t in ((-100, "channel"), (-7, "group"), (5, "private"))
    )
    updates = [
        {"update_id": 7, "channel_post": {"message_id": 1, "date": 1_700_000_000, "text": "gm", "chat": channel}},
        {"update_id": 8, "message": {"message_id": 2, "date": 1_700_000_001, "text": "secret", "chat": private}},
        {"update_id": 9, "message": {"message_id": 3, "date": 1_700_000_002, "photo": [], "chat": group}},
    ]
    offsets = []

    def handler(request: Request, body: bytes) -> Response:
        assert request.url.path == "/bot123:abc/getUpdates"
        offsets.append(json.loads(body)["offset"])
        return JSONResponse({"ok": True, "result": [u for u in updates if u["update_id"] >= offsets[-1]]})

    with serving(handler) as service:

        def make(client: httpx.AsyncClient) -> Telegram:
            return Telegram(client, "123:abc", url=service.url, long_poll=0)

        first = poll(make, {})
        assert [(p["event_id"], p["text"]) for p in first.posts] == [("telegram:-100:1", "gm")]  # no private messages
        again = poll(make, {})  # the broker was away: the same offset, the same posts
        assert again.posts == first.posts
        assert poll(make, first.cursor).posts == []
    assert offsets == [0, 0, 10]


# --- X


def test_x_reads_all_pages_then_moves_since_id() -> None:
    tweets = [
        {"id": str(i), "text": f"$BTC {i}", "created_at": "2024-08-08T23:54:00.000Z", "author_id": "9", "lang": "en",
         "public_metrics": {"like_count": 2, "retweet_count": 1, "reply_count": 0, "quote_count": 0}}
        for i in range(1, 26)
    ]  # fmt: skip

    def handler(request: Request, _body: bytes) -> Response:
        assert request.headers["authorization"] == "Bearer t"
        query = request.query_params
        since = int(query.get("since_id", 0))
        newest = [t for t in tweets[::-1] if int(t["id"]) > since]
        start = int(query.get("next_token", 0))
        page = newest[start : start + 10]
        meta = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": page[0]["id"], "oldest_id": page[-1]["id"]}
        if start + 10 < len(newest):
            meta["next_token"] = str(start + 10)
        return JSONResponse({"data": page, "meta": meta} if page else {"meta": meta})

    with serving(handler) as service:

        def make(client: httpx.AsyncClient) -> X:
            return X(client, "t", "btc", url=service.url, page=10)

        cursor: Cursor = {}
        ids: list[str] = []
        waits = []
        for _ in range(3):
            found = poll(make, cursor)
            ids += [p["event_id"] for p in found.posts]
            cursor, _ = found.cursor, waits.append(found.wait)
        assert sorted(ids) == sorted(f"twitter:{i}" for i in range(1, 26))
        assert waits == [0.0, 0.0, 60.0]
        assert cursor == {"since_id": "25"}
        assert poll(make, cursor) == Poll([], {"since_id": "25"}, 60.0)


# --- on-chain


def chain(head: int, *, limit: int = 100) -> Handler:
    """A chain where block n holds a transfer of n million USDT, and a native one of n * 100 ETH."""

    def answer(method: str, parameters: list[Any]) -> Any:
        if method == "eth_blockNumber":
            return hex(head)
        if method == "eth_getBlockByNumber":
            n = int(parameters[0], 16)
            value = {"hash": f"0x{n:064x}", "value": hex(n * 100 * 10**18), "from": "0x" + "a" * 40, "to": None}
            return {"timestamp": hex(1_700_000_000 + 12 * n), "transactions": [value]}
        query = parameters[0]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        assert query["topics"] == [TRANSFER]
        if last - first + 1 > limit:
            return None
        topics = [TRANSFER, "0x" + "0" * 24 + "b" * 40, "0x" + "0" * 24 + "c" * 40]
        log = {"address": query["address"][0], "topics": topics, "logIndex": "0x3", "removed": False}
        return [
            log | {"data": hex(n * 10**12), "blockNumber": hex(n), "transactionHash": f"0x{n:064x}"}
            for n in range(first, last + 1)
        ]

    def handler(_request: Request, body: bytes) -> Response:
        request = json.loads(body)
        result = answer(request["method"], request["params"])
        if request["method"] == "eth_getLogs" and result is None:
            return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "limit exceeded"}})
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": result})

    return handler


@pytest.mark.parametrize("limit", [100, 3])
def test_large_transfers_are_found_once_each_behind_the_head(limit: int) -> None:
    token = Token("USDT", "0x" + "d" * 40, 6, 5e6)
    with serving(chain(30, limit=limit)) as service:

        def make(client: httpx.AsyncClient) -> Onchain:
            return Onchain(client, service.url, [token], native_large=1000, confirmations=12, blocks=8)

        cursor: Cursor = {"next": 1}
        ids = []
        for _ in range(30):
            found = poll(make, cursor)
            ids += [p["event_id"] for p in found.posts]
            cursor = found.cursor
            if found.wait:
                break
        assert cursor["next"] == 19
    erc20 = [i for i in ids if i.endswith(":3")]
    assert erc20 == [f"onchain:ethereum:0x{n:064x}:3" for n in range(5, 19)]
    assert len(ids) - len(erc20) == len(range(10, 19))
    assert len(set(ids)) == len(ids)


def test_tokens_are_read_from_the_settings_or_the_entry_is_named() -> None:
    assert len(parse_tokens(Settings().onchain_tokens)) == 2
    with pytest.raises(ValueError, match="'USDT:oops'"):
        parse_tokens("USDT:oops")


# --- all of them


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"retry-after": "7"}, 7),
        (429, {"x-rate-limit-reset": str(int(time.time()) + 3600)}, 3600),
        (429, {"x-ratelimit-reset": "11"}, 11),
        (503, {}, None),
    ],
)
@pytest.mark.parametrize("name", ["reddit", "x", "onchain", "telegram"])
def test_a_service_that_says_later_is_left_alone(name: str, status: int, headers: dict[str, str], wait: float) -> None:
    with serving(lambda *_: Response(status_code=status, headers=headers)) as service:
        with pytest.raises(LaterError) as later:
            poll(lambda c: collector_of(settings_of(service.url), name, c), {})
        assert later.value.wait == (None if wait is None else pytest.approx(wait, rel=0.2))


def test_telegram_says_how_long_in_the_body() -> None:
    flood = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 9}}
    with serving(lambda *_: JSONResponse(flood, 429)) as service:
        with pytest.raises(LaterError) as later:
            poll(lambda c: Telegram(c, "t", url=service.url), {})
        assert later.value.wait == 9


@pytest.mark.parametrize("name", ["reddit", "x", "onchain", "telegram"])
def test_refused_credentials_name_the_setting_and_not_the_secret(name: str) -> None:
    with serving(lambda *_: Response(status_code=401)) as service:
        with pytest.raises(SetupError, match="CHCTL_") as refused:
            poll(lambda c: collector_of(settings_of(service.url), name, c), {})
        assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("name", SOURCES)
def test_without_credentials_a_collector_says_what_to_set(name: str) -> None:
    with pytest.raises(SetupError, match="CHCTL_"):
        poll(lambda c: collector_of(Settings(), name, c), {})


def settings_of(url: str) -> Settings:
    secrets: dict[str, Any] = {
        "reddit_client_secret": "s3cr3t",
        "telegram_bot_token": "s3cr3t",
        "x_bearer_token": "s3cr3t",
    }
    urls = {
        "reddit_url": url,
        "reddit_auth_url": url,
        "telegram_url": url,
        "x_url": url,
        "onchain_rpc_url": f"{url}/s3cr3t",
    }
    return Settings(reddit_client_id="id", **secrets, **urls)


# --- the loop


class Broker:
    """Stands for the publisher: takes rows, and acknowledges them only while it is there."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.there = True

    def add(self, _topic: str, _key: str, row: bytes) -> None:
        self.rows.append(json.loads(row))

    async def room(self, _waiting: Callable[[], None]) -> None:
        return None

    def drain(self, _timeout: float) -> bool:
        return self.there


class Counting:
    """A collector of the numbers from the cursor on; fails at first."""

    name = "counting"

    def __init__(self) -> None:
        self.failures = 1

    async def poll(self, cursor: Cursor) -> Poll:
        if self.failures:
            self.failures -= 1
            raise LaterError("503")
        n = cursor.get("n", 0)
        return Poll([{"source": "news", "event_id": str(n)}], {"n": n + 1}, 0.0)


def collecting(tmp_path: Path, broker: Broker, **kwargs: Any) -> Collecting:
    cursors = CursorFile(tmp_path / "collect" / "counting.json")
    return Collecting(Counting(), broker, cursors, first_backoff=0.01, **kwargs)  # type: ignore[arg-type]


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    broker = Broker()
    for _ in range(2):
        report = asyncio.run(collecting(tmp_path, broker, polls=3).run())
        assert (report.posts, report.errors) == (3, 1)
    assert [r["event_id"] for r in broker.rows] == ["0", "1", "2", "3", "4", "5"]


def test_the_cursor_stays_where_it_is_until_the_broker_has_the_posts(tmp_path: Path) -> None:
    broker = Broker()
    broker.there = False
    stop = Stop()

    async def run() -> None:
        task = asyncio.create_task(collecting(tmp_path, broker, stop=stop).run())
        while not broker.rows:
            await asyncio.sleep(0.01)
        stop.set()
        await task

    asyncio.run(run())
    broker.there = True
    asyncio.run(collecting(tmp_path, broker, polls=1).run())
    assert [r["event_id"] for r in broker.rows] == ["0", "0"]  # again, under the same id
