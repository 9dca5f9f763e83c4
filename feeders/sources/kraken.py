"""Kraken, public websocket v1 (https://docs.kraken.com/api/docs/websocket-v1/book).

Kraken numbers nothing. Its proof is a CRC32 over the ten best levels of each side, as sent. In the place of a
sequence stands the microsecond of the newest level of an update. Trades have no id: theirs is a hash of what makes
them one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

from feeders.book import Book
from feeders.events import BookUpdate, Event, Malformed, Raw, TradeEvent

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

DEPTH = 1000
CHECKED_LEVELS = 10


def checksum(book: Book) -> int:
    """CRC32 over price and quantity of the ten best asks, then bids, without point and leading zeros.

    https://docs.kraken.com/api/docs/guides/spot-ws-book-v1: that is the decimal text of our whole ticks and lots,
    with the zeros that Kraken writes behind.
    """
    tick_zeros, lot_zeros = ("0" * zeros for zeros in book.zeros_written)
    asks, bids = book.asks.top(CHECKED_LEVELS), book.bids.top(CHECKED_LEVELS)
    parts = [f"{t}{tick_zeros}{q}{lot_zeros}" for ticks, lots in (asks, bids) for t, q in zip(ticks, lots, strict=True)]
    return crc32("".join(parts).encode())


def trade_id(symbol: str, trade: Sequence[str], occurrence: int) -> int:
    """A deterministic 63-bit id of `[price, volume, time, side, ...]`; equal trades of one message differ by their
    place.
    """
    text = "|".join((symbol, *trade[:4], str(occurrence)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _microseconds(timestamp: str) -> int:
    """`1618678163.309296` in whole microseconds."""
    seconds, _, fraction = timestamp.partition(".")
    return int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


class KrakenDecoder:
    """Messages `[channel id, object, (object,) channel name, pair]`; objects with "event" are no market data."""

    def connected(self, conn: str) -> None:
        """Nothing is remembered of a connection."""

    def decode(self, raw: Raw) -> Iterable[Event]:
        """Book updates, snapshots and trades."""
        symbol = ""
        try:
            message = _decode(raw.data)
            if type(message) is dict:
                if message["event"] == "subscriptionStatus" and message["status"] == "error":
                    return (Malformed(message.get("pair", ""), message.get("errorMessage", "subscription refused")),)
                return ()
            symbol, channel = message[-1], message[-2]
            if channel == "trade":
                return self._trades(symbol, message[1])
            if channel.startswith("book-"):
                return (self._book(symbol, message[1:-2], raw.receive_time),)
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
            return (Malformed(symbol if type(symbol) is str else "", repr(error)),)
        return ()

    def _book(self, symbol: str, parts: list[dict[str, Any]], receive_time: int) -> BookUpdate:
        bids: list[list[str]] = []
        asks: list[list[str]] = []
        crc = -1
        snapshot = False
        for part in parts:
            if "as" in part:
                snapshot = True
                bids, asks = part["bs"], part["as"]
            else:
                bids = bids + part["b"] if "b" in part else bids
                asks = asks + part["a"] if "a" in part else asks
                crc = int(part.get("c", crc))
        # A republished level ("r") shows again under its old time.
        times = [_microseconds(level[2]) for levels in (bids, asks) for level in levels if len(level) < 4]
        sequence = max(times, default=0)
        # The newest level of a quiet book may be minutes old; its snapshot is of now.
        event_time = receive_time // 1000 if snapshot else sequence // 1000
        return BookUpdate(symbol, event_time, sequence, sequence, bids, asks, -1, snapshot, crc)

    def _trades(self, symbol: str, trades: list[list[str]]) -> list[Event]:
        seen: Counter[tuple[str, ...]] = Counter()
        events: list[Event] = []
        for trade in trades:
            price, quantity, timestamp, side = trade[:4]
            identity = (price, quantity, timestamp, side)
            events.append(
                TradeEvent(
                    symbol,
                    trade_id(symbol, trade, seen[identity]),
                    _microseconds(timestamp) // 1000,
                    price,
                    quantity,
                    {"b": "BUY", "s": "SELL"}[side],
                )
            )
            seen[identity] += 1
        return events


class Kraken:
    """Spot. Symbols as in `XBT/USD`."""

    name = "kraken"
    websocket = "wss://ws.kraken.com"
    book_depth = DEPTH
    rest_snapshot = False
    checksum = staticmethod(checksum)
    stale_after = 10.0  # a heartbeat comes every second
    quiet = False

    def decoder(self) -> KrakenDecoder:
        """A decoder without history."""
        return KrakenDecoder()

    def url(self, symbols: Sequence[str]) -> str:  # noqa: ARG002
        """The public websocket."""
        return self.websocket

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """Books and trades of all symbols."""
        return [
            self._message("subscribe", symbols, {"name": "trade"}),
            self._message("subscribe", symbols, {"name": "book", "depth": DEPTH}),
        ]

    def resubscribe(self, symbol: str) -> list[str]:
        """Leave the book's channel and join it again: the first message is a snapshot."""
        book = {"name": "book", "depth": DEPTH}
        return [self._message("unsubscribe", [symbol], book), self._message("subscribe", [symbol], book)]

    def _message(self, event: str, pairs: Sequence[str], subscription: dict[str, Any]) -> str:
        return _encode({"event": event, "pair": list(pairs), "subscription": subscription}).decode()

    def snapshot_url(self, symbol: str) -> str:
        """None: snapshots come over the websocket."""
        raise NotImplementedError(f"{self.name} sends the snapshot of {symbol} over the websocket")

    def ping(self) -> str:
        """None: the server sends heartbeats."""
        return ""
