"""What a venue's decoder says: changes of a book, trades, breaks of the connection. No venue's words from here on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

#: One price level as the venue sent it: price first, then the quantity resting there ("0" removes the level).
Level = Sequence[str]


class Raw(NamedTuple):
    """One thing received, before decoding.

    `kind`: `message` (from the websocket), `snapshot` (a REST answer about `symbol`), `connect` or `disconnect` (of the
    connection `conn`; nothing received before it says anything about what comes after), `alive` (nothing was
    said, but the connection answers), `tick` (time passed), `routed` (a message of which only what concerns
    `symbol` counts; somebody else follows the connection), `forget` (the books of `conn` are somebody else's now).
    """

    receive_time: int  # microseconds UTC, the receiver's clock
    data: bytes
    kind: str = "message"
    symbol: str = ""
    conn: str = ""


class BookUpdate(msgspec.Struct, gc=False):
    """A change of one book, or the whole book (`snapshot`); levels hold absolute quantities."""

    symbol: str
    event_time: int  # milliseconds UTC, the venue's clock; 0: the venue did not say
    first_seq: int
    last_seq: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    prev_seq: int = -1  # the sequence this update follows; -1: the venue does not number its updates
    snapshot: bool = False
    checksum: int = -1  # unsigned CRC32 of the book after this update; -1: none sent


class TradeEvent(msgspec.Struct, gc=False):
    """One trade; `side` is the taker's."""

    symbol: str
    trade_id: int
    event_time: int  # milliseconds UTC, the venue's clock
    price: str
    quantity: str
    side: str  # BUY or SELL


class ConnectionGap(msgspec.Struct, gc=False):
    """The connection lost messages: every book on it is in doubt."""

    expected: int
    received: int


class Malformed(msgspec.Struct, gc=False):
    """A message that is not the venue's protocol: what it carried is lost, so the books it may concern are in doubt.

    `symbol` is empty when the message does not say what it was about.
    """

    symbol: str
    why: str


Event = BookUpdate | TradeEvent | ConnectionGap | Malformed
