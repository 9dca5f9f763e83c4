"""The beacon gateway: browsers' event batches in, rows of the topic `frontend_events` out.

`POST /events` takes what `navigator.sendBeacon` and `fetch` can send: one JSON object

    {"session_id": "...", "user_id": "..."?, "sent_time": ms?, "dropped": n?,
     "events": [{"event_id", "event_time" (ms), "event_type", "element"?, "page"?, "properties"? (object)}, ...]}

as `application/json` or `text/plain`, plain or gzip, at most 64 KiB on the wire. Answers:

    200  {"accepted": n, "rejected": [{"index", "event_id", "reason"}, ...]}: the broker HAS the accepted events
    400  the body is no such object      403  a page of an origin that is not configured
    408  the body came too slowly        413  too large, or too many events: send it in halves
    415  another content type            429  this client sends too much (Retry-After)
    503  Kafka did not take it in time (Retry-After): send it again, same event ids

A 503 leaves the outcome open, so a client sends again, and `frontend_actions` holds one row an event id. Memory stays
bounded by librdkafka's queue (`CHCTL_BEACON_QUEUE_MB`) and by the number of requests that may wait at a time.

What identifies a person is hashed with a key or made coarse here (privacy.py); the address and the User-Agent header
as sent reach neither Kafka nor a log.
"""

from __future__ import annotations

import asyncio
import socket
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import structlog
import uvicorn
from prometheus_client import Counter, Gauge, Histogram, start_http_server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from chctl.kafka import producer_config
from chctl.settings import Settings
from feeders.async_producer import AsyncProducer
from feeders.privacy import Pseudonyms, coarse_user_agent, ip_prefix
from feeders.rate_limit import TokenBuckets
from feeders.runtime import Supervisor

log = structlog.get_logger()

TOPIC = "frontend_events"
MAX_BODY = 64 * 1024  # what browsers let sendBeacon and keepalive fetches carry
MAX_UNZIPPED = 256 * 1024  # with MAX_EVENTS it keeps a Kafka message under 1 MB
MAX_EVENTS = 1000
BODY_SECONDS = 10.0
OLDEST_MS = 7 * 86_400_000  # an event may wait this long in a browser's storage
NEWEST_MS = 86_400_000  # and its clock may run this far ahead
BEACON_JS = Path(__file__).parent / "static" / "beacon.js"

REQUESTS = Counter("chctl_beacon_requests_total", "Batches by the status answered.", ["status"])
EVENTS = Counter("chctl_beacon_events_total", "Events that the broker acknowledged.")
REJECTED = Counter("chctl_beacon_rejected_events_total", "Events refused for their content.")
DROPPED = Counter("chctl_beacon_client_dropped_events_total", "Events that browsers report having dropped.")
PENDING = Gauge("chctl_beacon_pending_messages", "Messages the broker has not acknowledged.")
ACK_SECONDS = Histogram("chctl_beacon_ack_seconds", "From the whole body to the broker's acknowledgement.")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Event(msgspec.Struct):
    """One event as the browser sends it; `properties` stays the raw JSON of an object."""

    event_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    event_time: int
    event_type: Name
    element: Annotated[str, msgspec.Meta(max_length=256)] = ""
    page: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    properties: msgspec.Raw = msgspec.Raw(b"{}")


class Batch(msgspec.Struct):
    """One request's body. Events stay raw, so that a bad one spoils no other."""

    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    events: list[msgspec.Raw]
    user_id: Annotated[str, msgspec.Meta(max_length=128)] | int = ""
    sent_time: int = 0
    dropped: Annotated[int, msgspec.Meta(ge=0)] = 0


class Row(msgspec.Struct):
    """One row of `frontend_events` (contracts/frontend_events.yaml)."""

    event_id: str
    event_time: int
    receive_time: int
    session_id: str
    user_id: int
    event_type: str
    element: str
    page: str
    properties: str
    ip_prefix: str
    user_agent: str


class Rejection(msgspec.Struct, omit_defaults=True):
    """Why the event at `index` of a batch was refused."""

    index: int
    reason: str
    event_id: str = ""


class Answer(msgspec.Struct):
    """The body of a 200."""

    accepted: int
    rejected: list[Rejection]


class _EventId(msgspec.Struct):
    event_id: str = ""


class RefusedError(Exception):
    """A request that is answered with `status` and one line that says what to do."""

    def __init__(self, status: int, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after = status, reason, retry_after


_decode_batch = msgspec.json.Decoder(Batch).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_id = msgspec.json.Decoder(_EventId).decode
_encoder = msgspec.json.Encoder()


def unzip(body: bytes) -> bytes:
    """The gunzipped body. Raises RefusedError for a broken one, and before a bomb has grown past MAX_UNZIPPED."""
    unzipper = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unzipper.decompress(body, MAX_UNZIPPED + 1)
    except zlib.error as error:
        raise RefusedError(400, "the body is not valid gzip") from error
    if len(plain) > MAX_UNZIPPED:
        raise RefusedError(413, f"the unzipped body is over {MAX_UNZIPPED} bytes: send it in halves")
    if not unzipper.eof or unzipper.unused_data:
        raise RefusedError(400, "the gzip body is cut short or has something behind it")
    return plain


def parse_batch(body: bytes) -> Batch:
    """The batch in a body, its events still raw. Raises RefusedError."""
    if body[:2] == b"\x1f\x8b":  # sendBeacon cannot set Content-Encoding, so the magic number decides
        body = unzip(body)
    try:
        batch = _decode_batch(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f"the body is no batch of events: {error}") from error
    if len(batch.events) > MAX_EVENTS:
        raise RefusedError(413, f"the batch has over {MAX_EVENTS} events: send it in halves")
    return batch


def check_event(raw: msgspec.Raw, now_ms: int) -> tuple[Event, str]:
    """One event and its properties as text. Raises ValueError with the reason for a bad one.

    msgspec's errors are ValueErrors and name the field, not its value.
    """
    event = _decode_event(raw)
    ahead = event.event_time - now_ms
    if not -OLDEST_MS <= ahead <= NEWEST_MS:
        raise ValueError(f"event_time is {abs(ahead) // 1000} s {'ahead of' if ahead > 0 else 'behind'} the server")
    properties = bytes(event.properties).decode()
    if not properties.startswith("{"):
        raise ValueError("Expected `object` - at `$.properties`")
    return event, properties


def page_path(page: str) -> str:
    """The path of a page's address: queries and fragments carry tokens and searches."""
    try:
        return urlsplit(page).path
    except ValueError:
        return ""


class Gateway:
    """The endpoints, with what they share: pseudonyms, rate limits and the producer."""

    def __init__(self, s: Settings) -> None:
        key = s.beacon_hash_key.get_secret_value().encode()
        try:
            self._pseudonyms = Pseudonyms(key)
        except ValueError as error:
            raise ValueError(f"CHCTL_BEACON_HASH_KEY: {error}; make one with: openssl rand -hex 32") from error
        self._settings = s
        self._origins = origins(s)
        self._buckets = TokenBuckets(s.beacon_rate, s.beacon_burst)
        self._drop_client = s.beacon_client == "drop"
        self._producer: AsyncProducer | None = None

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Hold the producer open; at the end every queued message is delivered, or its loss is said."""
        config = producer_config(self._settings) | {
            "linger.ms": self._settings.beacon_linger_ms,
            "queue.buffering.max.kbytes": self._settings.beacon_queue_mb * 1024,
            "queue.buffering.max.messages": 1_000_000,
        }
        self._producer = AsyncProducer(config)
        PENDING.set_function(self._producer.pending)
        supervisor = Supervisor()
        supervisor.ready("taking events")  # run() listens already: a connection made from here on is served
        feeding = asyncio.create_task(_feed_watchdog(supervisor))
        try:
            yield
        finally:
            feeding.cancel()
            supervisor.stopping()
            left = await self._producer.close(self._settings.beacon_drain_seconds)
            if left:
                log.error("beacon.undelivered", messages=left, hint="the broker was away; browsers keep their copy")

    async def events(self, request: Request) -> Response:
        """POST /events."""
        try:
            answer = await self._take(request)
        except RefusedError as refused:
            REQUESTS.labels(refused.status).inc()
            headers = {"retry-after": str(max(1, round(refused.retry_after)))} if refused.retry_after else None
            return PlainTextResponse(refused.reason + "\n", refused.status, headers)
        except ClientDisconnect:
            REQUESTS.labels("gone").inc()
            return Response(status_code=400)
        REQUESTS.labels(200).inc()
        return Response(_encoder.encode(answer), media_type="application/json")

    async def ready(self, _: Request) -> Response:
        """GET /ready."""
        return PlainTextResponse("ok\n")

    async def _take(self, request: Request) -> Answer:
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._origins:
            raise RefusedError(403, "this origin is not in CHCTL_BEACON_ORIGINS")
        content_type = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
        if content_type not in ("text/plain", "application/json"):
            raise RefusedError(415, "send text/plain or application/json")
        address = request.client.host if request.client else ""
        network = ip_prefix(address) if ":" in address else address  # an IPv6 client owns a whole prefix
        self._limit(network, 1)
        batch = parse_batch(await read_body(request))
        self._limit(network, len(batch.events) - 1)
        DROPPED.inc(batch.dropped)

        started = time.perf_counter()
        rows, rejected = self._rows(batch, address, request.headers.get("user-agent", ""))
        REJECTED.inc(len(rejected))
        if rows:
            await self._deliver(rows)
            EVENTS.inc(len(rows))
            ACK_SECONDS.observe(time.perf_counter() - started)
        return Answer(len(rows), rejected)

    def _limit(self, client: str, tokens: int) -> None:
        if tokens <= 0:
            return
        wait = self._buckets.take(client, tokens)
        if wait:
            raise RefusedError(429, f"too many events from this client: wait {wait:.1f} s", wait)

    def _rows(self, batch: Batch, address: str, user_agent: str) -> tuple[list[Row], list[Rejection]]:
        now_us = time.time_ns() // 1000
        session_id = self._pseudonyms.session(batch.session_id)
        user_id = self._pseudonyms.user(str(batch.user_id))
        network = "" if self._drop_client else ip_prefix(address)
        browser = "" if self._drop_client else coarse_user_agent(user_agent)
        rows: list[Row] = []
        rejected: list[Rejection] = []
        for index, raw in enumerate(batch.events):
            try:
                event, properties = check_event(raw, now_us // 1000)
            except (ValueError, RecursionError) as error:
                rejected.append(Rejection(index, str(error), event_id_of(raw)))
                continue
            rows.append(
                Row(
                    event_id=event.event_id,
                    event_time=event.event_time,
                    receive_time=now_us,
                    session_id=session_id,
                    user_id=user_id,
                    event_type=event.event_type,
                    element=event.element,
                    page=page_path(event.page),
                    properties=properties,
                    ip_prefix=network,
                    user_agent=browser,
                )
            )
        return rows, rejected

    async def _deliver(self, rows: list[Row]) -> None:
        """One message a batch, its rows on lines; return when the broker has acknowledged it."""
        assert self._producer is not None, "the application's lifespan has not started"
        wait = self._settings.beacon_ack_seconds
        try:
            future = self._producer.send(TOPIC, rows[0].session_id.encode(), _encoder.encode_lines(rows).rstrip(b"\n"))
        except BufferError as error:
            raise RefusedError(503, "Kafka does not keep up: send again later", wait) from error
        _, late = await asyncio.wait({future}, timeout=wait)
        if late:  # it stays queued; the client's second copy has the same event ids
            raise RefusedError(503, "Kafka has not acknowledged the events: send them again", wait)
        if future.exception():
            log.error("beacon.refused_by_broker", error=str(future.exception()))
            raise RefusedError(503, "Kafka refused the events: send again later", 10.0)


def event_id_of(raw: msgspec.Raw) -> str:
    """The id of an event that was refused, where it can be read."""
    try:
        return _decode_id(raw).event_id[:64]
    except (ValueError, RecursionError):
        return ""


async def _feed_watchdog(supervisor: Supervisor) -> None:
    """Feed systemd's watchdog as long as the event loop turns: without that no request is answered."""
    while supervisor.every:
        supervisor.progress()
        await asyncio.sleep(supervisor.every)


async def read_body(request: Request) -> bytes:
    """The body as sent. Raises RefusedError past MAX_BODY bytes or BODY_SECONDS."""
    too_large = RefusedError(413, f"the body is over {MAX_BODY} bytes: send it in halves")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError as error:
        raise RefusedError(408, f"the body took over {BODY_SECONDS:.0f} s") from error
    return bytes(body)


async def beacon_js(_: Request) -> Response:
    """GET /beacon.js: the script of the pages."""
    return FileResponse(BEACON_JS, media_type="text/javascript", headers={"cache-control": "public, max-age=3600"})


def origins(s: Settings) -> list[str]:
    """The configured origins, as browsers write them: no slash at the end."""
    return [origin.strip().rstrip("/") for origin in s.beacon_origins.split(",") if origin.strip()]


def create_app(s: Settings) -> Starlette:
    """The gateway as an ASGI application. Raises ValueError without a usable hash key."""
    gateway = Gateway(s)
    return Starlette(
        routes=[
            Route("/events", gateway.events, methods=["POST"]),
            Route("/beacon.js", beacon_js),
            Route("/ready", gateway.ready),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=origins(s),
                allow_methods=["POST"],
                allow_headers=["content-type"],
                expose_headers=["retry-after"],
                allow_credentials=True,  # sendBeacon sends cookies and so needs this; none is read
                max_age=86_400,
            )
        ],
        lifespan=gateway.lifespan,
    )


def server_config(s: Settings, app: Any) -> uvicorn.Config:
    """How uvicorn serves the gateway, the bench's bare server beside it included."""
    return uvicorn.Config(
        app,
        host=s.beacon_host,
        port=s.beacon_port,
        access_log=False,  # it would hold addresses
        log_level="warning",
        server_header=False,
        proxy_headers=bool(s.beacon_trusted_proxies),
        forwarded_allow_ips=s.beacon_trusted_proxies or None,
        limit_concurrency=s.beacon_max_requests,  # more are answered 503 at once
        timeout_graceful_shutdown=10,
    )


def run(s: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish the open requests and drain the queue.

    Raises ValueError for unusable settings and OSError where the port is taken.
    """
    app = create_app(s)
    listener = socket.create_server((s.beacon_host, s.beacon_port), backlog=1024)
    host, port = listener.getsockname()[:2]
    if s.metrics_port:
        start_http_server(s.metrics_port, s.metrics_host)
    log.info("beacon.listening", url=f"http://{host}:{port}/events", origins=origins(s))
    uvicorn.Server(server_config(s, app)).run(sockets=[listener])
