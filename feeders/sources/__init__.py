"""One small module a venue or source; decoding only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Protocol

from feeders.book import Book
from feeders.events import Event, Raw


class Decoder(Protocol):
    """What one venue says, turned into events. A decoder may keep state of its connections (their sequence numbers)."""

    def connected(self, conn: str) -> None:
        """A new connection begins under this name: forget the one before."""

    def decode(self, raw: Raw) -> Iterable[Event]:
        """The events of one received message; empty for what is no market data."""


class Venue(Protocol):
    """A venue's protocol: how to ask for the feed, how to read it, how a book is checked."""

    name: str  # as it stands in `venue` of every row
    book_depth: int  # levels a side the venue reports; 0: all of them
    rest_snapshot: bool  # the book starts from a REST answer, and updates before it have to be kept
    checksum: Callable[[Book], int] | None  # what the venue would compute over this book
    stale_after: float  # seconds without any message after which the connection counts as dead
    quiet: bool  # says nothing while nothing changes, so that only an answered ping tells it from a dead one

    def decoder(self) -> Decoder:
        """A decoder without history."""

    def url(self, symbols: Sequence[str]) -> str:
        """Where the websocket is."""

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """Messages to send after connecting."""

    def resubscribe(self, symbol: str) -> list[str]:
        """Messages that make the venue send the book of `symbol` anew; empty if only a new connection does."""

    def snapshot_url(self, symbol: str) -> str:
        """Where the REST snapshot of a book is; only for venues with `rest_snapshot`."""

    def ping(self) -> str:
        """A heartbeat of the venue's own to send when nothing was received for a while; empty: none needed."""


#: venue -> where its class stands. Imported when asked for.
VENUES = {
    "binance": "feeders.sources.binance:Spot",
    "binance_usdm": "feeders.sources.binance:UsdM",
    "binance_coinm": "feeders.sources.binance:CoinM",
    "kraken": "feeders.sources.kraken:Kraken",
    "okx": "feeders.sources.okx:Okx",
    "coinbase": "feeders.sources.coinbase:Coinbase",
}


def venue(name: str) -> Venue:
    """The venue of that name; ValueError says which there are."""
    try:
        module, _, attribute = VENUES[name].partition(":")
    except KeyError:
        raise ValueError(f"no venue {name!r}; there are {', '.join(VENUES)}") from None
    found: Venue = getattr(import_module(module), attribute)()
    return found
