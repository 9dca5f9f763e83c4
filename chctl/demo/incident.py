"""Write an incident over a recorded feed: bids near the touch are pulled for some seconds, then come back.

Works on Binance's raw messages. Sequence numbers stay as recorded: the recorded diffs themselves carry the altered
levels, so the feed stays gapless and everything downstream sees an ordinary, if nasty, market.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from feeders.events import Raw


class PulledDepth:
    """A transform of recorded events: for `seconds` from `start` on, bids within `bps` of the best shrink to `left`.

    `start` counts from the first message. Times are the venue's.
    """

    def __init__(self, start: float, seconds: float = 5, bps: float = 25, left: Decimal = Decimal("0.1")) -> None:
        self.start, self.seconds, self._bps, self._left = start, seconds, Decimal(str(bps)), left
        self._bids: dict[str, str] = {}  # the true book, as recorded
        self._sequence = -1  # of the snapshot the book started from; -1 before it
        self._early: list[dict[str, Any]] = []  # diffs that came before the snapshot
        self._altered: set[str] = set()  # prices whose shown quantity is not the true one

    def __str__(self) -> str:
        return f"bids within {self._bps} bps cut to {self._left:.0%} at {self.start:g} s for {self.seconds:g} s"

    def __call__(self, events: Iterable[Raw]) -> Iterator[Raw]:
        """The events, with the incident in them."""
        begin = 0
        for raw in events:
            begin = begin or raw.receive_time
            if raw.kind == "snapshot":
                self._load(msgspec.json.decode(raw.data))
                yield raw
            elif b'"depthUpdate"' in raw.data[:96]:
                yield raw._replace(data=self._diff(raw.data, (raw.receive_time - begin) / 1e6))
            else:
                yield raw

    def _load(self, snapshot: dict[str, Any]) -> None:
        self._bids, self._sequence = dict(snapshot["bids"]), snapshot["lastUpdateId"]
        for diff in self._early:
            self._follow(diff)

    def _follow(self, diff: dict[str, Any]) -> None:
        """Keep the true book; a diff older than the snapshot says nothing about it."""
        for price, size in diff["b"] if diff["u"] > self._sequence else ():
            if Decimal(size):
                self._bids[price] = size
            else:
                self._bids.pop(price, None)

    def _diff(self, data: bytes, at: float) -> bytes:
        message = msgspec.json.decode(data)
        if self._sequence < 0:
            self._early.append(message["data"])
            return data
        self._follow(message["data"])
        levels: dict[str, str] = dict(message["data"]["b"])
        if self.start <= at < self.start + self.seconds:
            for price in self._near():
                if price in levels or price not in self._altered:
                    levels[price] = self._cut(self._bids[price])
            self._altered |= self._near()
        elif self._altered:
            # Over: every level is shown again as recorded.
            levels |= {price: self._bids.get(price, "0.00000000") for price in self._altered}
            self._altered = set()
        else:
            return data
        message["data"]["b"] = [[price, size] for price, size in levels.items()]
        return msgspec.json.encode(message)

    def _near(self) -> set[str]:
        best = max(map(Decimal, self._bids), default=Decimal(0))
        floor = best * (1 - self._bps / 10_000)
        return {price for price in self._bids if Decimal(price) >= floor}

    def _cut(self, size: str) -> str:
        """The size left, in the venue's decimals; never zero, so that the best bid stays."""
        unit = Decimal(1).scaleb(Decimal(size).as_tuple().exponent)  # type: ignore[arg-type]
        return str(max((Decimal(size) * self._left).quantize(unit), unit))
