"""A venue on loopback that speaks its protocol from a recording, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from feeders.events import Raw

from .truth import Truth

#: Faults by message number: what happens in place of that message.
FAULTS = ("drop", "lose", "stall", "garbage", "half")


class VenueServer:
    """Plays the market data of `raws` once to its one client; who connects or asks again gets the true book first.

    `faults` maps a message's number to: `drop` (the connection ends), `lose` (that message is never sent), `stall`
    (nothing is sent any more on this connection), `garbage` (bytes that are no JSON), `half` (the connection dies
    within a message).
    """

    def __init__(self, name: str, raws: list[Raw], faults: dict[int, str], pause: float = 0.0005) -> None:
        self.name = "binance" if name.startswith("binance") else name
        self.truth = Truth(name)
        self.faults = dict(faults)
        self.connections = 0
        self.snapshots = 0
        self.finished = asyncio.Event()
        self.subscriptions: list[str] = []
        self._raws = raws
        self._at = 0
        self._pause = pause

    @asynccontextmanager
    async def running(self):
        async with serve(self._client, "127.0.0.1", 0, ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            yield f"ws://127.0.0.1:{port}"

    @asynccontextmanager
    async def rest(self):
        """The REST snapshot: the first request is answered by 503, as it happens."""

        async def answer(reader, writer):
            request = await reader.readuntil(b"\r\n\r\n")
            self.snapshots += 1
            symbol = request.partition(b"symbol=")[2].partition(b"&")[0].decode()
            books = self.truth.snapshot(symbol)
            status, body = (b"200 OK", books[0].data) if books and self.snapshots > 1 else (b"503 Busy", b"")
            head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body))
            writer.write(head + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/depth"

    async def _client(self, socket: ServerConnection) -> None:
        self.connections += 1
        wanted: asyncio.Queue[str] = asyncio.Queue()
        listener = asyncio.create_task(self._listen(socket, wanted))
        try:
            if self.name != "binance":
                self.subscriptions.append(await wanted.get())  # nothing is sent to who did not subscribe
            await self._begin(socket)
            while self._at < len(self._raws):
                while not wanted.empty():
                    await self._answer(socket, wanted.get_nowait())
                at, raw = self._at, self._raws[self._at]
                self._at += 1
                self.truth.feed(raw)
                fault = self.faults.pop(at, "")
                if fault == "drop":
                    await socket.close(1012)
                    return
                if fault == "half":
                    # A frame that says 200 bytes follow, and then no more of them.
                    socket.transport.write(b"\x81\x7e\x00\xc8" + raw.data[:20])
                    await asyncio.sleep(0.01)
                    socket.transport.abort()
                    return
                if fault == "stall":
                    await socket.wait_closed()
                    return
                if fault == "garbage":
                    await socket.send("]}garbage{[")
                elif fault != "lose":
                    await socket.send(raw.data.decode())
                await asyncio.sleep(self._pause)
            self.finished.set()
            while message := await wanted.get():
                await self._answer(socket, message)
        except ConnectionClosed:
            pass
        finally:
            listener.cancel()

    async def _listen(self, socket: ServerConnection, wanted: asyncio.Queue[str]) -> None:
        try:
            async for message in socket:
                await wanted.put(message)
        except ConnectionClosed:
            pass
        await wanted.put("")  # the client is gone

    async def _begin(self, socket: ServerConnection) -> None:
        """What a new subscriber gets first."""
        if self.connections == 1:
            return  # the recording begins with its own snapshots
        if self.name == "coinbase":
            for raw in self.truth.new_connection(""):
                if raw.kind == "message":
                    await socket.send(raw.data.decode())
        elif self.name != "binance":
            for symbol in self.truth.books:
                for raw in self.truth.snapshot(symbol):
                    await socket.send(raw.data.decode())

    async def _answer(self, socket: ServerConnection, message: str) -> None:
        """A subscription while the feed runs: the book of each symbol named."""
        self.subscriptions.append(message)
        request = json.loads(message) if message != "ping" else {}
        verb = request.get("event") or request.get("op") or request.get("type")
        if verb != "subscribe" or self.connections == 0:
            return
        if self.name == "kraken" and request["subscription"]["name"] == "book":
            symbols = request["pair"]
        elif self.name == "okx":
            symbols = [a["instId"] for a in request["args"] if a["channel"] == "books"]
        elif self.name == "coinbase" and request["channel"] == "level2":
            symbols = []
            for symbol in request["product_ids"]:
                if symbol in self.truth.books:
                    for raw in self.truth.new_connection(""):
                        if raw.kind == "message" and f'"{symbol}"' in raw.data[:400].decode():
                            await socket.send(raw.data.decode())
        else:
            symbols = []
        for symbol in symbols:
            for raw in self.truth.snapshot(symbol):
                await socket.send(raw.data.decode())
