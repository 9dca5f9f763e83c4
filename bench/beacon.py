"""The beacon gateway beside the bare ASGI server it runs on, under the same load.

Both are one uvicorn process (uvloop, httptools) and take the same batches over the same kept-alive connections. The
bare one reads the body and answers; the gateway checks every event, hashes, and answers only when the broker has
acknowledged the batch. Load generator, server and broker share this machine's cores.

    python bench/beacon.py [--seconds 5] [--json]

Goal: at least 0.2 of the bare server's requests a second at one event a batch, 100 k events a second at fifty.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.beacon_processes import broker, gateway, wait_for
from tests.ports import free_port


async def bare_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The smallest application that does what any beacon endpoint must: read the body, answer."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def serve_bare(port: int) -> None:
    import uvicorn

    from chctl.settings import Settings
    from feeders.beacon import server_config

    uvicorn.Server(server_config(Settings(beacon_port=port), bare_app)).run()


def request(events: int) -> bytes:
    """One HTTP request with a batch of `events` clicks."""
    now = time.time_ns() // 1_000_000
    body = json.dumps(
        {
            "session_id": "0b9ad2ac-93c7-4a59-a442-1f2a4d4a2a4e",
            "user_id": "42",
            "events": [
                {
                    "event_id": f"0b9ad2ac-93c7-4a59-a442-{i:012}",
                    "event_time": now,
                    "event_type": "click",
                    "element": "order-ticket/buy",
                    "page": "/trade/BTCUSDT",
                    "properties": {"symbol": "BTCUSDT", "x": i},
                }
                for i in range(events)
            ],
        }
    ).encode()
    head = f"POST /events HTTP/1.1\r\nhost: bench\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """Sends the request again as soon as it is answered."""

    def __init__(self, content: bytes, deadline: float, seconds: list[float], bad: list[bytes]) -> None:
        self.content, self.deadline, self.seconds, self.bad = content, deadline, seconds, bad
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        self.answer = b""
        self.sent = time.perf_counter()
        self.transport.write(self.content)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, content = self.answer.partition(b"\r\n\r\n")
        if not found or len(content) < int(head.rpartition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        now = time.perf_counter()
        self.seconds.append(now - self.sent)
        if not head.startswith(b"HTTP/1.1 200"):
            self.bad.append(self.answer[:80])
        if now < self.deadline:
            self.next()
        else:
            self.transport.close()
            self.done.set_result(None)


async def load(port: int, content: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Requests a second, and the latency's p50 and p99 in ms, over `connections` for `seconds`."""
    latencies: list[float] = []
    bad: list[bytes] = []
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    protocols = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(
            lambda: Connection(content, started + seconds, latencies, bad), "127.0.0.1", port
        )
        protocols.append(protocol)
    await asyncio.gather(*(p.done for p in protocols))
    assert not bad, f"{len(bad)} answers were no 200: {bad[0]!r}"
    latencies.sort()
    return {
        "requests_per_second": round(len(latencies) / (time.perf_counter() - started)),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 2),
    }


def measure(port: int, events: int, connections: int, seconds: float) -> dict[str, float]:
    def listening() -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listening, what="the server")
    uvloop.run(load(port, request(events), connections, 0.5))
    result = uvloop.run(load(port, request(events), connections, seconds))
    return result | {"events_per_second": result["requests_per_second"] * events}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    bare_port = free_port()
    bare = multiprocessing.Process(target=serve_bare, args=(bare_port,), daemon=True)
    bare.start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            broker() as kafka,
            gateway(kafka.address, Path(folder), rate="1e9", burst="1e9") as g,
        ):
            port = httpx.URL(g.url).port
            assert port
            for events in (1, 10, 50):
                bare_result = measure(bare_port, events, options.connections, options.seconds)
                own = measure(port, events, options.connections, options.seconds)
                ratio = round(own["requests_per_second"] / bare_result["requests_per_second"], 3)
                results.append({"events_per_batch": events, "bare": bare_result, "gateway": own, "ratio": ratio})
    finally:
        bare.terminate()
        bare.join()
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'events a batch':>14} {'':8} {'requests/s':>11} {'events/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'ratio':>6}")
    for result in results:
        for name in ("bare", "gateway"):
            r, ratio = result[name], result["ratio"] if name == "gateway" else 1
            rates = f"{r['requests_per_second']:>11,} {r['events_per_second']:>9,}"
            print(f"{result['events_per_batch']:>14} {name:8} {rates} {r['p50_ms']:>8} {r['p99_ms']:>8} {ratio:>6}")


if __name__ == "__main__":
    main()
