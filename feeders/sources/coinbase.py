"""Coinbase Advanced Trade
(https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels).

One `sequence_num` runs across all channels of a connection: a gap in it puts every book of the connection in doubt.
`side` of a trade is the maker's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from feeders.events import BookUpdate, ConnectionGap, Event, Malformed, Raw, TradeEvent


class _Envelope(msgspec.Struct, gc=False):
    channel: str
    timestamp: str
    sequence_num: int
    events: msgspec.Raw


class _Update(msgspec.Struct, gc=False):
    side: str
    price_level: str
    new_quantity: str


class _BookEvent(msgspec.Struct, gc=False):
    type: str
    product_id: str
    updates: list[_Update]


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: str


class _TradesEvent(msgspec.Struct, gc=False):
    trades: list[_Trade]


_envelope = msgspec.json.Decoder(_Envelope).decode
_books = msgspec.json.Decoder(list[_BookEvent]).decode
_trades = msgspec.json.Decoder(list[_TradesEvent]).decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=16)
def _second(text: str) -> int:
    """`2026-08-09T21:05:48` in milliseconds UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def _milliseconds(text: str) -> int:
    """`2026-08-09T21:05:48.228568804Z` in milliseconds UTC."""
    return _second(text[:19]) + int(text[20:-1][:3].ljust(3, "0"))


class CoinbaseDecoder:
    """Messages `{"channel", "timestamp", "sequence_num", "events": [...]}`."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # connection -> sequence_num of its last message

    def connected(self, conn: str) -> None:
        """A new connection counts from zero."""
        self._last.pop(conn, None)

    def decode(self, raw: Raw) -> Iterable[Event]:
        """Book updates, snapshots, trades, and gaps of the connection."""
        try:
            message = _envelope(raw.data)
            sequence, channel = message.sequence_num, message.channel
            last = self._last.get(raw.conn, sequence - 1)
            events: list[Event] = []
            if sequence > last + 1 and raw.kind != "routed":
                events.append(ConnectionGap(last + 1, sequence))
            if channel == "market_trades":
                # Also from messages that come twice or late: the normalizer knows which trades it has had.
                events += self._trades(message)
            elif channel == "l2_data" and sequence > last:
                events += self._books(message)
            self._last[raw.conn] = max(sequence, last)
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, ValueError) as error:
            return (Malformed("", repr(error)),)
        return events

    def _books(self, message: _Envelope) -> Iterable[BookUpdate]:
        event_time, sequence = _milliseconds(message.timestamp), message.sequence_num
        # All events about one book are one change: between them it may be crossed.
        updates: dict[str, BookUpdate] = {}
        for event in _books(message.events):
            update = updates.get(event.product_id)
            snapshot = event.type == "snapshot"
            if update is None or snapshot:
                update = BookUpdate(event.product_id, event_time, sequence, sequence, [], [], -1, snapshot)
                updates[event.product_id] = update
            sides = {"bid": update.bids, "offer": update.asks}
            for level in event.updates:
                sides[level.side].append((level.price_level, level.new_quantity))  # type: ignore[attr-defined]
        return updates.values()

    def _trades(self, message: _Envelope) -> Iterable[TradeEvent]:
        for event in _trades(message.events):
            for t in reversed(event.trades):  # sent newest first
                taker = {"BUY": "SELL", "SELL": "BUY"}[t.side]
                yield TradeEvent(t.product_id, int(t.trade_id), _milliseconds(t.time), t.price, t.size, taker)


class Coinbase:
    """Spot. Symbols as in `BTC-USD`."""

    name = "coinbase"
    websocket = "wss://advanced-trade-ws.coinbase.com"
    book_depth = 0
    rest_snapshot = False
    checksum = None
    stale_after = 10.0  # a heartbeat comes every second
    quiet = False

    def decoder(self) -> CoinbaseDecoder:
        """A decoder without history."""
        return CoinbaseDecoder()

    def url(self, symbols: Sequence[str]) -> str:  # noqa: ARG002
        """The market data websocket; no key is needed."""
        return self.websocket

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """Books, trades and heartbeats of all symbols."""
        return [self._message("subscribe", channel, symbols) for channel in ("heartbeats", "market_trades", "level2")]

    def resubscribe(self, symbol: str) -> list[str]:  # noqa: ARG002
        """Nothing: what was lost concerns the whole connection, so a new one is made."""
        return []

    def _message(self, kind: str, channel: str, symbols: Sequence[str]) -> str:
        return _encode({"type": kind, "product_ids": list(symbols), "channel": channel}).decode()

    def snapshot_url(self, symbol: str) -> str:
        """None: snapshots come over the websocket."""
        raise NotImplementedError(f"{self.name} sends the snapshot of {symbol} over the websocket")

    def ping(self) -> str:
        """None: the server sends heartbeats."""
        return ""
