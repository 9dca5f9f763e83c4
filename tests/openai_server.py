"""A server on loopback that speaks OpenAI's API: envelopes and errors as recorded, answers as a test wants them.

The envelope of a response is read from the recorded corpus at run time (where it is on this machine), and tests replay
its errors; the statuses that the corpus lacks (429, 5xx) have the documented bodies. Sentiment comes from words, so
that a test can tell whose answer is whose: "good" is 0.8, "bad" -0.8, anything else 0.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from feeders.analysis.framing import CONTROLS

CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", Path(__file__).parents[2] / "shared" / "data"))


def recorded(name: str) -> list[dict[str, Any]]:
    """Interactions of the corpus (`interactions` or `errors`); none where it is not on this machine."""
    path = CAPTURES / "openai" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_ABOUT = re.compile(r"(?:about|naming|mentioning) ([A-Z]{3,})\b")


@dataclass
class Fault:
    """What to do with one request instead of answering it well."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False  # close the connection without an answer
    change: Callable[[list[dict[str, Any]]], Any] | None = None  # what becomes of the answers
    output: str | None = None  # the output text as it is
    envelope: dict[str, Any] = field(default_factory=dict)  # fields of the response object to replace
    refusal: bool = False


def error(status: int, message: str, code: str | None, kind: str, **headers: str) -> Fault:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Fault(status, json.dumps(body).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


def throttled(wait: str = "84ms", **headers: str) -> Fault:
    text = (
        "Rate limit reached for gpt-4o-mini in organization org-x on tokens per min (TPM): Limit 200000, Used 195869,"
        f" Requested 4412. Please try again in {wait}. Visit https://platform.openai.com/account/rate-limits to learn"
        " more."
    )
    return error(429, text, "rate_limit_exceeded", "tokens", **headers)


def too_large() -> Fault:
    text = (
        "Request too large for gpt-4o-mini in organization org-x on tokens per min (TPM): Limit 30000, Requested 37051."
        " The input or output tokens must be reduced in order to run successfully."
    )
    return error(429, text, "rate_limit_exceeded", "tokens")


def quota() -> Fault:
    text = "You exceeded your current quota, please check your plan and billing details."
    return error(429, text, "insufficient_quota", "insufficient_quota")


def sentiment(text: str) -> float:
    """The model's honest opinion."""
    words = text.lower()
    return 0.8 * (("good" in words or "wonderful" in words) - ("bad" in words or "horrible" in words))


class Server:
    """`faults` are used up one a request; after them the server is well."""

    def __init__(self, *, obey: bool = False) -> None:
        self.faults: deque[Fault | None] = deque()
        self.judge: Callable[[list[dict[str, str]]], Fault | None] = lambda _posts: None  # a fault by content
        self.obey = obey  # believe what posts say, as a gullible model would
        self.requests: list[dict[str, Any]] = []  # bodies, as sent
        self.embedded: list[str] = []
        self.times: list[float] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.batch_lines: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda lines: lines
        self.polls_until_done = 1
        self.reading_faults: deque[Fault] = deque()  # of requests that only look at a batch or fetch its answers
        self.port = 0
        envelopes = [
            json.loads(r["response_body"])
            for r in recorded("interactions")
            if r["endpoint"] == "responses" and "json_schema" in r["request_body"] and "Alice" in r["request_body"]
        ]
        self.envelope: dict[str, Any] = envelopes[0] if envelopes else {"object": "response", "id": "resp_1"}
        self.app = Starlette(
            routes=[
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                Route("/v1/files", self._upload, methods=["POST"]),
                Route("/v1/files/{file}/content", self._content),
                Route("/v1/batches", self._batch, methods=["POST"]),
                Route("/v1/batches", self._batch_list),
                Route("/v1/batches/{batch}", self._batch_state),
            ]
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def texts(self) -> list[list[str]]:
        """The texts of each request for sentiment, without the controls."""
        controls = {text for text, _ in CONTROLS}
        posts = [[p["text"] for p in json.loads(r["input"])["posts"]] for r in self.requests]
        return [[text for text in texts if text not in controls] for texts in posts]

    async def _responses(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.times.append(time.monotonic())
        posts = json.loads(body["input"])["posts"]
        fault = (self.faults.popleft() if self.faults else None) or self.judge(posts) or Fault()
        return await self._deliver(request, fault, self.answer(body, fault))

    def answer(self, body: dict[str, Any], fault: Fault) -> bytes:
        posts = json.loads(body["input"])["posts"]
        order = 1.0 if self.obey and any("ignore" in p["text"].lower() for p in posts) else None
        # a cleverer order is about some posts only, and leaves the control items alone
        about = {m[1] for p in posts if self.obey and (m := _ABOUT.search(p["text"]))}
        answers: Any = [
            {
                "id": p["id"],
                "score": 1.0 if about & set(p["text"].split()) else sentiment(p["text"]) if order is None else order,
                "confidence": 0.9,
            }
            for p in posts
        ]
        if fault.change:
            answers = fault.change(answers)
        output = json.dumps({"answers": answers}) if fault.output is None else fault.output
        part = {"type": "refusal", "refusal": "I'm very sorry, but I can't assist with that request."}
        if not fault.refusal:
            part = {"type": "output_text", "annotations": [], "text": output}
        message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        tokens = len(json.dumps(body)) // 4
        usage = {"input_tokens": tokens, "output_tokens": len(output) // 4, "total_tokens": tokens + len(output) // 4}
        changes = {"model": body["model"], "status": "completed", "output": [message], "usage": usage} | fault.envelope
        return json.dumps(self.envelope | changes).encode()

    async def _deliver(self, request: Request, fault: Fault, good: bytes) -> Response:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut:
            request.scope["extensions"]["chctl.transport"]().abort()
        headers = {k: v for k, v in fault.headers.items() if k not in ("content-length", "transfer-encoding")}
        headers.pop("content-encoding", None)
        return Response(
            fault.body if fault.status != 200 or fault.body else good,
            fault.status,
            {"content-type": "application/json"} | headers,
        )

    async def _embeddings(self, request: Request) -> Response:
        body = await request.json()
        self.embedded += body["input"]
        fault = (self.faults.popleft() if self.faults else None) or Fault()
        size = body.get("dimensions", 1536)
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text) % 7 + 1)] * size}
            for i, text in enumerate(body["input"])
        ]
        data.reverse()  # the index counts, not the place
        if fault.change:
            data = fault.change(data)
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        good = json.dumps({"object": "list", "data": data, "model": body["model"], "usage": usage}).encode()
        return await self._deliver(request, fault, good)

    # --- Batch API

    async def _upload(self, request: Request) -> Response:
        header = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
        parts = email.message_from_bytes(header + await request.body(), policy=email.policy.HTTP).iter_parts()
        form = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        assert form["purpose"] == b"batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"]
        return _json({"id": name, "object": "file", "purpose": "batch", "bytes": 1, "created_at": 1, "filename": "b"})

    async def _content(self, request: Request) -> Response:
        fault = self.reading_faults.popleft() if self.reading_faults else Fault()
        return await self._deliver(request, fault, self.files[request.path_params["file"]])

    async def _batch(self, request: Request) -> Response:
        body = await request.json()
        fault = (self.faults.popleft() if self.faults else None) or Fault()
        if fault.status != 200:
            return await self._deliver(request, fault, b"")
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"],
            "completion_window": "24h", "status": "validating", "created_at": 1, "output_file_id": None, "polls": 0,
        }  # fmt: skip
        return _json(self.batches[name])

    async def _batch_list(self, request: Request) -> Response:
        fault = self.reading_faults.popleft() if self.reading_faults else Fault()
        listed = {"object": "list", "data": list(self.batches.values()), "has_more": False}
        return await self._deliver(request, fault, json.dumps(listed).encode())

    async def _batch_state(self, request: Request) -> Response:
        if self.reading_faults:
            return await self._deliver(request, self.reading_faults.popleft(), b"")
        batch = self.batches[request.path_params["batch"]]
        batch["polls"] += 1
        if batch["polls"] >= self.polls_until_done and batch["status"] in ("validating", "in_progress"):
            lines = []
            for line in self.files[batch["input_file_id"]].splitlines():
                entry = json.loads(line)
                answer = json.loads(self.answer(entry["body"], Fault()))
                response = {"status_code": 200, "request_id": "req", "body": answer}
                lines.append({"id": "b", "custom_id": entry["custom_id"], "response": response, "error": None})
            lines = self.batch_lines(lines)
            name = f"file-{len(self.files)}"
            self.files[name] = "\n".join(map(json.dumps, lines)).encode()
            batch |= {"status": "completed", "output_file_id": name}
            self.batches[batch["id"]] = batch
        return _json(batch)


def _json(value: Any) -> Response:
    return Response(json.dumps(value), media_type="application/json")


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Serve until the end of the block, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    uvicorn_server = uvicorn.Server(
        uvicorn.Config(_abortable(server.app), log_level="error", lifespan="off", http="h11")
    )
    thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not uvicorn_server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.005)
    try:
        yield server
    finally:
        uvicorn_server.should_exit = True
        thread.join(10)
        listener.close()


def _abortable(app: Starlette) -> Any:
    """Give handlers the transport of their connection, so that a test can cut it."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        cycle = getattr(send, "__self__", None)
        scope.setdefault("extensions", {})["chctl.transport"] = lambda: cycle.transport
        await app(scope, receive, send)

    return wrapped
