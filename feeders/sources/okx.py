"""OKX, public websocket v5 (https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel).

Channel `books`: a snapshot of 400 levels, then updates, each with a CRC32 over the 25 best levels of each side, and,
since 2023, `seqId` and `prevSeqId`. Without those the update's millisecond stands in the place of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from zlib import crc32

import msgspec

from feeders.book import Book
from feeders.events import BookUpdate, Event, Malformed, Raw, TradeEvent

CHECKED_LEVELS = 25


class _Argument(msgspec.Struct, gc=False, frozen=True):
    channel: str = ""
    instId: str = ""


class _Envelope(msgspec.Struct, gc=False):
    arg: _Argument = _Argument()
    event: str = ""
    msg: str = ""
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Book(msgspec.Struct, gc=False):
    asks: list[list[str]]
    bids: list[list[str]]
    ts: str
    checksum: int | None = None
    seqId: int = -1
    prevSeqId: int = -1


class _Trade(msgspec.Struct, gc=False):
    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str


_envelope = msgspec.json.Decoder(_Envelope).decode
_books = msgspec.json.Decoder(list[_Book]).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=100_000)
def _text(number: int, scale: int) -> str:
    """A number of ticks or lots as OKX writes it: without trailing zeros."""
    if not scale:
        return str(number)
    digits = str(number).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}".rstrip("0").rstrip(".")


def checksum(book: Book) -> int:
    """CRC32 over `price:size` of the 25 best levels, bid and ask in turn, joined by colons; unsigned."""
    sides = []
    for side in (book.bids, book.asks):
        ticks, lots = side.top(CHECKED_LEVELS)
        price_scale, size_scale = book.price_scale, book.size_scale
        sides.append(
            [f"{_text(t, price_scale)}:{_text(q, size_scale)}" for t, q in zip(ticks, lots, strict=True)],
        )
    bids, asks = sides
    common = min(len(bids), len(asks))
    parts = [part for pair in zip(bids, asks, strict=False) for part in pair] + bids[common:] + asks[common:]
    return crc32(":".join(parts).encode())


class OkxDecoder:
    """Messages `{"arg": {"channel", "instId"}, "action", "data": [...]}`; those with "event" are no market data."""

    def connected(self, conn: str) -> None:
        """Nothing is remembered of a connection."""

    def decode(self, raw: Raw) -> Iterable[Event]:
        """Book updates, snapshots and trades."""
        if raw.data == b"pong":
            return ()
        symbol = ""
        try:
            message = _envelope(raw.data)
            symbol, channel = message.arg.instId, message.arg.channel
            if message.event:
                return (Malformed(symbol, message.msg),) if message.event == "error" else ()
            if channel == "books":
                return [self._book(symbol, book, message.action == "snapshot") for book in _books(message.data)]
            if channel == "trades":
                return [
                    TradeEvent(t.instId, int(t.tradeId), int(t.ts), t.px, t.sz, {"buy": "BUY", "sell": "SELL"}[t.side])
                    for t in _trades(message.data)
                ]
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, ValueError) as error:
            return (Malformed(symbol, repr(error)),)
        return ()

    def _book(self, symbol: str, book: _Book, snapshot: bool) -> BookUpdate:
        event_time = int(book.ts)
        numbered = book.seqId >= 0
        sequence = book.seqId if numbered else event_time
        previous = book.prevSeqId if numbered and not snapshot else -1
        crc = -1 if book.checksum is None else book.checksum & 0xFFFFFFFF
        return BookUpdate(symbol, event_time, sequence, sequence, book.bids, book.asks, previous, snapshot, crc)


class Okx:
    """Spot, swaps, futures. Symbols as in `BTC-USDT`, `BTC-USD-SWAP`; sizes of the latter two are contracts."""

    name = "okx"
    websocket = "wss://ws.okx.com:8443/ws/v5/public"
    book_depth = 0
    rest_snapshot = False
    checksum = staticmethod(checksum)
    stale_after = 30.0  # OKX closes a connection after 30 s of silence; our ping is answered before
    quiet = False

    def decoder(self) -> OkxDecoder:
        """A decoder without history."""
        return OkxDecoder()

    def url(self, symbols: Sequence[str]) -> str:  # noqa: ARG002
        """The public websocket."""
        return self.websocket

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """Books and trades of all symbols."""
        return [self._message("subscribe", ("trades", "books"), symbols)]

    def resubscribe(self, symbol: str) -> list[str]:
        """Leave the book's channel and join it again: the first message is a snapshot."""
        return [self._message("unsubscribe", ("books",), [symbol]), self._message("subscribe", ("books",), [symbol])]

    def _message(self, operation: str, channels: Sequence[str], symbols: Sequence[str]) -> str:
        arguments = [{"channel": channel, "instId": symbol} for channel in channels for symbol in symbols]
        return _encode({"op": operation, "args": arguments}).decode()

    def snapshot_url(self, symbol: str) -> str:
        """None: snapshots come over the websocket."""
        raise NotImplementedError(f"{self.name} sends the snapshot of {symbol} over the websocket")

    def ping(self) -> str:
        """OKX answers `pong`."""
        return "ping"
