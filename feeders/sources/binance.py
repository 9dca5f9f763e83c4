"""Binance: spot, USD-M and COIN-M futures.

Protocol: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams ("How to manage a local order
book correctly") and .../derivatives/usds-margined-futures/websocket-market-streams. Differential depth needs a REST
snapshot; an update follows the one before if U == u + 1 (spot) or pu == u (futures).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from feeders.events import BookUpdate, Event, Malformed, Raw, TradeEvent


class _Depth(msgspec.Struct, gc=False):
    s: str
    E: int
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    pu: int = -1


class _DepthMessage(msgspec.Struct, gc=False):
    data: _Depth


class _Trade(msgspec.Struct, gc=False):
    s: str
    T: int
    t: int
    p: str
    q: str
    m: bool
    X: str = "MARKET"


class _TradeMessage(msgspec.Struct, gc=False):
    data: _Trade


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    E: int = 0


_depth = msgspec.json.Decoder(_DepthMessage).decode
_trade = msgspec.json.Decoder(_TradeMessage).decode
_snapshot = msgspec.json.Decoder(_Snapshot).decode
_anything = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class BinanceDecoder:
    """Messages of the combined stream `{"stream": ..., "data": {...}}` and REST depth snapshots."""

    def connected(self, conn: str) -> None:
        """Nothing is remembered of a connection."""

    def decode(self, raw: Raw) -> Iterable[Event]:
        """Book updates, snapshots and trades; other streams give nothing."""
        data = raw.data
        try:
            if raw.kind == "snapshot":
                answer = _snapshot(data)
                last = answer.lastUpdateId
                return (BookUpdate(raw.symbol, answer.E, last, last, answer.bids, answer.asks, -1, True),)
            # The event's name stands in the first bytes; the other streams are not worth parsing.
            head = data[:96]
            if b'"depthUpdate"' in head:
                d = _depth(data).data
                return (BookUpdate(d.s, d.E, d.U, d.u, d.b, d.a, d.pu if d.pu >= 0 else d.U - 1),)
            if b'"trade"' in head:
                t = _trade(data).data
                # Futures report settlements of the insurance fund (X != MARKET, some at price 0) among the trades.
                if t.X != "MARKET":
                    return ()
                return (TradeEvent(t.s, t.t, t.T, t.p, t.q, "SELL" if t.m else "BUY"),)
            _anything(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return (Malformed(raw.symbol, str(error)),)
        return ()


class Spot:
    """Spot. Symbols as in `BTCUSDT`."""

    name = "binance"
    websocket = "wss://stream.binance.com:9443"
    rest = "https://api.binance.com/api/v3/depth"
    depth_stream = "depth@100ms"
    snapshot_limit = 5000
    book_depth = 0
    rest_snapshot = True
    checksum = None
    stale_after = 30.0  # quiet symbols may say nothing for long; the server's ping comes every 20 s
    quiet = True

    def decoder(self) -> BinanceDecoder:
        """A decoder without history."""
        return BinanceDecoder()

    def url(self, symbols: Sequence[str]) -> str:
        """The combined stream; subscriptions stand in the address."""
        streams = "/".join(f"{s.lower()}@{kind}" for s in symbols for kind in (self.depth_stream, "trade"))
        return f"{self.websocket}/stream?streams={streams}"

    def subscribe(self, symbols: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Nothing: the address says it."""
        return []

    def resubscribe(self, symbol: str) -> list[str]:  # noqa: ARG002
        """Nothing: the book is fetched anew over REST while the updates go on."""
        return []

    def snapshot_url(self, symbol: str) -> str:
        """The REST depth snapshot."""
        return f"{self.rest}?symbol={symbol}&limit={self.snapshot_limit}"

    def ping(self) -> str:
        """None: the server pings on the websocket's own level."""
        return ""


class UsdM(Spot):
    """USD-M futures. Symbols as in `BTCUSDT`."""

    name = "binance_usdm"
    websocket = "wss://fstream.binance.com"
    rest = "https://fapi.binance.com/fapi/v1/depth"
    snapshot_limit = 1000


class CoinM(UsdM):
    """COIN-M futures. Symbols as in `BTCUSD_PERP`.

    Sizes are whole contracts of a fixed value in USD (100 of BTC, 10 of the others), not amounts of the base currency:
    depth and quantity compare within a symbol, never with another venue's.
    """

    name = "binance_coinm"
    websocket = "wss://dstream.binance.com"
    rest = "https://dapi.binance.com/dapi/v1/depth"
