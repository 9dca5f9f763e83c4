"""ClickHouse's HTTP interface over the engine, as an ASGI app.

A select writes into a pipe from inside the engine (`INTO OUTFILE`), in its format and compression; this reads the pipe
and sends. So results of any size pass through in constant memory in every format, a slow client slows only its own
query down, and a client that goes away breaks the pipe. Up to `BUFFER_BYTES` are held back first: a query that fails
before gets its HTTP status, as in ClickHouse.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from chctl.node import body as bodies
from chctl.node import frames
from chctl.node.engine import Answer, Call, Engine, External, Session
from chctl.node.errors import ClickHouseError
from chctl.node.native import REVISION, Converter, Unsupported
from chctl.node.pipe import Pipe
from chctl.node.sql import BadStatement, Statement, split

BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 18
MAX_CONCURRENT_QUERIES = 100
SESSION_SECONDS = 60

#: URL parameters that steer the interface; every other one is a setting of the query.
_RESERVED = (
    {"query", "database", "default_format", "query_id", "user", "password", "quota_key", "role"}
    | {"session_id", "session_timeout", "session_check", "close_session", "client_protocol_version"}
    | {"compress", "decompress", "stacktrace", "buffer_size", "wait_end_of_query"}
)
_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ORC": "application/octet-stream",
}


def content_type(format_name: str) -> str:
    """The Content-Type ClickHouse gives a format."""
    if format_name in _CONTENT_TYPES:
        return _CONTENT_TYPES[format_name]
    if "EachRow" in format_name and format_name.startswith("JSON"):
        return "application/x-ndjson; charset=UTF-8"
    if "WithNames" in format_name and format_name.startswith("CSV"):
        return "text/csv; charset=UTF-8; header=present"
    for prefix in ("JSON", "TabSeparated", "TSV", "RowBinary", "Arrow"):
        if format_name.startswith(prefix):
            return _CONTENT_TYPES[prefix]
    return "text/plain; charset=UTF-8"


@dataclass
class Query:
    """A request read and understood."""

    statement: Statement
    data: IO[bytes] | None
    call: Call
    query_id: str
    format: str
    encoding: str | None
    wait_end: bool
    framed: bool = False
    converter: Converter | None = None
    session: Session | None = None
    files: list[IO[bytes]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def encode(self, data: bytes, last: bool = False) -> bytes:
        """The engine's bytes as this client wants them. Raises Unsupported."""
        if self.converter:
            data = self.converter.feed(data) + (self.converter.finish() if last else b"")
        return frames.encode(data) if self.framed else data


class Interface:
    """The ASGI endpoint of `/`: one request, one statement."""

    def __init__(self, engine: Engine, spool_dir: Path, user: str, password: str) -> None:
        self._engine, self._spool_dir, self._user, self._password = engine, spool_dir, user, password
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_QUERIES, thread_name_prefix="query")
        self._running = 0
        self._sessions: dict[str, Session] = {}
        self._name = socket.gethostname()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        parameters = dict(request.query_params.multi_items())
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        encoding = self._encoding(request, parameters)
        query: Query | None = None
        counted = False
        try:
            self._turn_away_foreign_pages(request)
            self._authenticate(request, parameters)
            if request.method in ("GET", "HEAD") and "query" not in parameters:
                await PlainTextResponse("Ok.\n", media_type="text/html")(scope, receive, send)
                return
            if self._running >= MAX_CONCURRENT_QUERIES:
                raise self._error(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries. Maximum: 100")
            self._running, counted = self._running + 1, True
            query = await self._read(request, parameters, query_id, encoding)
            if query.statement.kind == "select":
                await self._stream(query, receive, send)
            else:
                await self._answer(query, send)
        except (ClickHouseError, BadStatement) as raised:
            error = (
                raised if isinstance(raised, ClickHouseError) else self._error(raised.code, raised.name, str(raised))
            )
            await self._send_error(send, error, query_id, encoding, framed=parameters.get("compress") == "1")
        except ClientDisconnect:
            return  # went away before its statement was whole: nothing has run
        finally:
            self._running -= counted
            if query is not None:
                self._let_go(query, parameters)

    # --- reading a request

    def _error(self, code: int, name: str, message: str) -> ClickHouseError:
        return ClickHouseError.of(code, name, message, self._engine.version)

    def _turn_away_foreign_pages(self, request: Request) -> None:
        """A page of another site can make a browser send a POST here: such a request names its origin."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            raise self._error(497, "ACCESS_DENIED", f"Requests of pages from {origin} are not allowed")

    def _authenticate(self, request: Request, parameters: dict[str, str]) -> None:
        """Check the user and password of the Basic header, ClickHouse's own headers or the URL, if one is required."""
        if not self._password:
            return
        user, password = "", None
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                password = ""
        elif "X-ClickHouse-Key" in request.headers:
            user, password = request.headers.get("X-ClickHouse-User", ""), request.headers["X-ClickHouse-Key"]
        elif "password" in parameters:
            user, password = parameters.get("user", ""), parameters["password"]
        if password is None:
            raise self._error(194, "REQUIRED_PASSWORD", f"{self._user}: Authentication failed: password required")
        right = hmac.compare_digest(password.encode(), self._password.encode())
        if not right or (user or self._user) != self._user:
            reason = "Authentication failed: password is incorrect, or there is no user with such name."
            raise self._error(516, "AUTHENTICATION_FAILED", f"{user or self._user}: {reason}")

    @staticmethod
    def _encoding(request: Request, parameters: dict[str, str]) -> str | None:
        if parameters.get("enable_http_compression", "0") not in ("1", "true"):
            return None
        return bodies.accepted(request.headers.get("Accept-Encoding", ""))

    async def _read(self, request: Request, parameters: dict[str, str], query_id: str, encoding: str | None) -> Query:
        if request.headers.get("Content-Type", "").startswith("multipart/form-data"):
            return await self._read_form(request, parameters, query_id, encoding)
        try:
            coding, framed = request.headers.get("Content-Encoding", ""), parameters.get("decompress") == "1"
            file = await bodies.spool(request.stream(), coding, self._spool_dir, framed)
        except bodies.BadBody as error:
            raise self._error(354, "CANNOT_DECOMPRESS", str(error)) from None
        try:
            return self._understand(request, parameters, query_id, encoding, file)
        except BaseException:
            file.close()
            raise

    async def _read_form(
        self, request: Request, parameters: dict[str, str], query_id: str, encoding: str | None
    ) -> Query:
        """A form: parameters too long for a URL as its fields, external tables as its files."""
        try:
            form = await request.form(max_files=100, max_fields=10_000, max_part_size=bodies.MEMORY_BYTES * 64)
        except HTTPException as error:
            raise self._error(36, "BAD_ARGUMENTS", f"Cannot read the form: {error.detail}") from None
        parameters |= {name: value for name, value in form.multi_items() if isinstance(value, str)}
        with bodies.new_file(self._spool_dir) as empty:
            query = self._understand(request, parameters, query_id, encoding, empty)
        tables = []
        for name, upload in form.multi_items():
            if isinstance(upload, str):
                continue
            structure = parameters.get(f"{name}_structure") or ", ".join(
                f"_{i} {kind}" for i, kind in enumerate(parameters.get(f"{name}_types", "").split(","), 1)
            )
            file = bodies.new_file(self._spool_dir)
            query.files.append(file)
            shutil.copyfileobj(upload.file, file)
            file.flush()
            tables.append(External(name, structure, parameters.get(f"{name}_format", "TabSeparated"), file.fileno()))
        own = {f"{table.name}_{what}" for table in tables for what in ("structure", "types", "format")}
        settings = {name: value for name, value in query.call.settings.items() if name not in own}
        query.call = replace(query.call, settings=settings, external=tuple(tables))
        return query

    def _understand(
        self, request: Request, parameters: dict[str, str], query_id: str, encoding: str | None, file: IO[bytes]
    ) -> Query:
        """Find the statement in the URL, the body, or both, and what is data."""
        in_url = parameters.get("query", "").encode()
        data: IO[bytes] | None = None
        statement = split(in_url)
        if statement.kind == "insert":
            rest = in_url[statement.data_at :]
            data = file if not rest.strip() else _joined(rest, file, self._spool_dir)
        else:
            # as ClickHouse does: the URL's text, a line break, the body
            head = (in_url + b"\n" if in_url else b"") + file.read(bodies.MEMORY_BYTES)
            statement = split(head)
            if statement.kind == "insert":
                file.seek(statement.data_at - (len(in_url) + 1 if in_url else 0))
                data = file
            elif rest := file.read():
                statement = split(head + rest)
        if statement.kind == "empty":
            raise self._error(62, "SYNTAX_ERROR", "Syntax error: failed at position 1 (end of query): empty query")
        default = request.headers.get("X-ClickHouse-Format") or parameters.get("default_format") or ""
        if not re.fullmatch(r"\w*", default):
            raise self._error(73, "UNKNOWN_FORMAT", f"Unknown format {default}")
        format_name = statement.format or default or ("Values" if statement.kind == "insert" else "TabSeparated")
        call = Call(
            sql=statement.text,
            format=format_name,
            database=parameters.get("database") or request.headers.get("X-ClickHouse-Database", ""),
            settings={k: v for k, v in parameters.items() if k not in _RESERVED and not k.startswith("param_")},
            params={k[6:]: v for k, v in parameters.items() if k.startswith("param_")},
            readonly=request.method in ("GET", "HEAD"),
        )
        wait_end = parameters.get("wait_end_of_query", "0") in ("1", "true")
        query = Query(statement, data, call, query_id, format_name, encoding, wait_end)
        query.framed = parameters.get("compress") == "1"
        revision = parameters.get("client_protocol_version", "0")
        if format_name == "Native" and revision.isdigit() and int(revision) >= REVISION:
            query.converter = Converter()
        if query.framed or query.converter:
            query.encoding = None  # the engine compresses what it writes: not what is changed behind it
        query.session = self._session(parameters)
        return query

    def _session(self, parameters: dict[str, str]) -> Session | None:
        now = time.monotonic()
        for name, old in list(self._sessions.items()):
            if not old.busy and old.expires < now:
                self._sessions.pop(name).connection.close()
        name = parameters.get("session_id", "")
        if not name:
            return None
        session = self._sessions.get(name)
        if session is None:
            if parameters.get("session_check") == "1":
                raise self._error(372, "SESSION_NOT_FOUND", f"Session {name} not found")
            session = self._sessions[name] = Session(self._engine.connect(), SESSION_SECONDS)
        if session.busy:
            raise self._error(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
        session.busy = True
        with contextlib.suppress(KeyError, ValueError):
            session.seconds = min(float(parameters["session_timeout"]), 3600.0)
        return session

    def _let_go(self, query: Query, parameters: dict[str, str]) -> None:
        for file in (query.data, *query.files):
            if file is not None:
                file.close()
        if query.session is not None:
            query.session.busy = False
            query.session.expires = time.monotonic() + query.session.seconds
            if parameters.get("close_session") == "1":
                self._sessions.pop(parameters["session_id"]).connection.close()

    # --- running

    async def _run(self, query: Query, call: Call, finally_: Callable[[], None] = lambda: None) -> Answer:
        """Run on an engine thread, and `finally_` after it on the same thread."""
        # a session keeps its settings, so a GET in one cannot be made read-only for good: it gets its own connection
        session = None if call.readonly else query.session

        def work() -> Answer:
            try:
                return self._engine.run(call, session)
            finally:
                finally_()

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _answer(self, query: Query, send: Send) -> None:
        """Run an insert, or a statement with a small result. A client that goes away does not stop it."""
        statement, call = query.statement, query.call
        if statement.kind == "insert":
            assert query.data is not None
            # the engine opens the descriptor anew and so reads from its start: the statement goes off the front
            query.data = file = _from_here(query.data, self._spool_dir)
            clause = f"FROM INFILE '/dev/fd/{file.fileno()}' COMPRESSION 'none'"
            sql = statement.with_clause(clause) + f" FORMAT {query.format}".encode()
            call = replace(call, sql=sql, format="TabSeparated", clause=clause)
        answer = await self._run(query, call)
        data = bodies.compress(query.encoding, query.encode(answer.data, last=True))
        await _start(send, 200, self._headers(query, answer, len(data)))
        await send({"type": "http.response.body", "body": data})

    async def _stream(self, query: Query, receive: Receive, send: Send) -> None:
        """Run a select and send its result while it comes; cancel it when the client goes away."""
        marker = f"/*{uuid.uuid4()}*/"
        loop = asyncio.get_running_loop()
        pipe = Pipe()
        clause = f"INTO OUTFILE '{pipe.path}' TRUNCATE COMPRESSION '{query.encoding or 'none'}' {marker}"
        if query.statement.format is None:
            clause += f" FORMAT {query.format}"
        call = replace(query.call, sql=query.statement.with_clause(clause), clause=clause)

        def cancel() -> None:
            pipe.close_reading()
            loop.run_in_executor(None, self._engine.kill, marker)

        running = asyncio.shield(self._run(query, call, pipe.close_writing))
        watching = asyncio.ensure_future(_when_gone(receive, cancel))
        sent = False
        held: list[IO[bytes]] = []
        try:
            head = bytearray()
            while chunk := await pipe.read(CHUNK_BYTES):
                head += chunk
                if len(head) < BUFFER_BYTES:
                    continue
                if not query.wait_end:
                    break
                held = held or [bodies.new_file(self._spool_dir)]  # held back however long it is
                held[0].write(head)
                head.clear()
            answer = None if chunk else await running
            whole = answer is not None and not held
            data = b"" if held else query.encode(bytes(head), last=whole)
            await _start(send, 200, self._headers(query, answer, len(data) if whole else None))
            sent = True
            await send({"type": "http.response.body", "body": data, "more_body": not whole})
            if whole:
                return
            for file in held:
                file.write(head)
                file.seek(0)
                for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                    await send({"type": "http.response.body", "body": query.encode(chunk), "more_body": True})
            while chunk := await pipe.read(CHUNK_BYTES):
                await send({"type": "http.response.body", "body": query.encode(chunk), "more_body": True})
            await running
            await send({"type": "http.response.body", "body": query.encode(b"", last=True)})
        except Unsupported as error:
            if not sent:
                raise self._error(48, "NOT_IMPLEMENTED", str(error)) from None
        except ClickHouseError as error:
            if not sent:
                raise
            # the status is gone: as ClickHouse does, the error goes behind the data and the body is left unfinished
            text = bodies.compress(query.encoding, self._late_error(query, error))
            await send({"type": "http.response.body", "body": text, "more_body": True})
        finally:
            watching.cancel()
            if not running.done():
                cancel()
                with contextlib.suppress(ClickHouseError):
                    await running
            pipe.close_reading()
            for file in held:
                file.close()

    # --- answering

    def _headers(self, query: Query, answer: Answer | None, length: int | None) -> dict[str, str]:
        summary: dict[str, str] = {"elapsed_ns": str(int((time.monotonic() - query.started) * 1e9))}
        if answer is not None:
            what = "written" if query.statement.kind == "insert" else "read"
            summary |= {"read_rows": str(answer.rows), "read_bytes": str(answer.bytes)}
            summary |= {"written_rows": "0", "written_bytes": "0", "total_rows_to_read": "0"}
            summary |= {f"{what}_rows": str(answer.rows), f"{what}_bytes": str(answer.bytes)}
        headers = {
            "Content-Type": content_type(query.format if query.statement.has_result else ""),
            "X-ClickHouse-Server-Display-Name": self._name,
            "X-ClickHouse-Query-Id": query.query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Exception-Tag": _tag(query.query_id),
            "X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":")),
        }
        if query.statement.has_result:
            headers["X-ClickHouse-Format"] = query.format
        if query.encoding:
            headers["Content-Encoding"] = query.encoding
        if length is not None:
            headers["Content-Length"] = str(length)
        return headers

    @staticmethod
    def _late_error(query: Query, error: ClickHouseError) -> bytes:
        tag, text = _tag(query.query_id), error.text
        return f"\r\n__exception__\r\n{tag}\r\n{text}{len(text.encode())} {tag}\r\n__exception__\r\n".encode()

    async def _send_error(
        self, send: Send, error: ClickHouseError, query_id: str, encoding: str | None, framed: bool
    ) -> None:
        text = error.text.encode()
        data = bodies.compress(encoding, frames.encode(text) if framed else text)
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "Content-Length": str(len(data)),
            "X-ClickHouse-Server-Display-Name": self._name,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Exception-Code": str(error.code),
        }
        if encoding:
            headers["Content-Encoding"] = encoding
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await _start(send, error.status, headers)
        await send({"type": "http.response.body", "body": data})

    def close(self) -> None:
        """Close sessions; queries that still run have been cancelled by then."""
        for session in self._sessions.values():
            if not session.busy:
                session.connection.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tag(query_id: str) -> str:
    """The mark around an error behind data: 16 characters that the data cannot foresee."""
    return hmac.digest(_TAG_KEY, query_id.encode(), "sha256").hex()[:16]


_TAG_KEY = os.urandom(16)


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _when_gone(receive: Receive, cancel: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    cancel()


def _joined(head: bytes, file: IO[bytes], folder: Path) -> IO[bytes]:
    """Data in the URL's statement, then the body's."""
    joined: IO[bytes] = bodies.new_file(folder)
    joined.write(head)
    with file:
        for chunk in iter(lambda: file.read(1 << 18), b""):
            joined.write(chunk)
    joined.seek(0)
    return joined


def _from_here(file: IO[bytes], folder: Path) -> IO[bytes]:
    """A file on disk that holds what stands behind the position of `file`; itself if that is all of it."""
    rest = file
    if file.tell() > 0:
        rest = bodies.new_file(folder)
        with file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                rest.write(chunk)
    descriptor = rest.fileno()  # moves a body that is still in memory to disk
    rest.flush()
    os.lseek(descriptor, 0, os.SEEK_SET)  # where /dev/fd shares the offset
    return rest


def application(
    interface: Interface, allowed_hosts: Sequence[str] | None = None, routes: Sequence[BaseRoute] = ()
) -> Starlette:
    """The node's ASGI app.

    `routes` are more pages to serve, such as a dashboard, ahead of the ClickHouse interface. `allowed_hosts` are the
    names a request may ask for (None: any): a page in a browser that has its name resolved to loopback is turned away.
    """

    async def ok(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    own = [Route("/ping", ok), Route("/replicas_status", ok), Route("/", interface), Route("/query", interface)]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts)] if allowed_hosts else []
    return Starlette(routes=[*routes, *own], middleware=middleware)
