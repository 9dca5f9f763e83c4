"""A simulated venue for the demo: books that breathe, trades that agree with them, incidents at known times.

It speaks Binance spot's wire format, so that its feed takes the same decoder and normalizer as a real one; its rows
carry the venue name `simulated`. Deterministic by seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from feeders.events import Raw
from feeders.sources.binance import Spot

#: A diff a symbol every so many milliseconds, as Binance's @depth@100ms.
STEP_MS = 100
#: Levels a side; with one tick between them they reach beyond the 10 bps that the liquidity rule looks at.
LEVELS = 120


class SimulatedVenue(Spot):
    """Binance's protocol under a name that nobody takes for an exchange."""

    name = "simulated"


@dataclass(frozen=True)
class Incident:
    """Something done to a book on purpose: `kind` is depth_pulled, spread_blown_out or burst; times in seconds."""

    kind: str
    symbol: str
    start: float
    duration: float

    def active(self, at: float) -> bool:
        """Whether it lasts at `at` seconds after the start of the feed."""
        return self.start <= at < self.start + self.duration

    def __str__(self) -> str:
        return f"{self.kind} on {self.symbol} at {self.start:g} s for {self.duration:g} s"


def incidents(seconds: float) -> list[Incident]:
    """The incidents of a feed of that length; none in a feed too short for the rules to learn what is usual."""
    if seconds < 48:
        return []
    return [
        Incident("burst", "SIMETH", 25, 4),
        Incident("depth_pulled", "SIMBTC", 36, 6),
        Incident("spread_blown_out", "SIMSOL", 39, 5),
    ]


class _Market:
    """One symbol. Prices in ticks of `tick` cents, quantities in lots of 0.0001."""

    def __init__(self, symbol: str, price: int, tick: int, lots: int, rng: random.Random) -> None:
        self.symbol, self._tick, self._lots, self._rng = symbol, tick, lots, rng
        self._bid = price // tick  # best bid, in ticks; the best ask is one above
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})  # what the makers mean: ticks -> lots
        self._sequence = rng.randrange(10**9, 10**10)
        self._trade_id = rng.randrange(10**6, 10**7)
        self._fill()
        self._shown = self._visible(None)

    def snapshot(self) -> bytes:
        """The REST answer about the book as it is."""
        bids, asks = ([self._text(*level) for level in side.items()] for side in self._shown)
        return json.dumps({"lastUpdateId": self._sequence, "bids": bids, "asks": asks}).encode()

    def step(self, at_ms: int, busy: bool, incident: Incident | None) -> Iterator[bytes]:
        """One window: trades against the touch, then the diff that shows what takers and makers did to the book."""
        burst = incident is not None and incident.kind == "burst"
        calm_trades = self._rng.random() < 0.3
        for _ in range(self._rng.randrange(8, 15) if burst else self._rng.randrange(4) if busy else calm_trades):
            yield self._trade(at_ms)
        self._requote(busy)
        shown = self._visible(incident)
        bids, asks = (
            [
                self._text(level, now.get(level, 0))
                for level in was.keys() | now.keys()
                if was.get(level) != now.get(level)
            ]
            for was, now in zip(self._shown, shown, strict=True)
        )
        self._shown = shown
        if bids or asks:
            first = self._sequence + 1
            self._sequence += len(bids) + len(asks)
            diff = {"e": "depthUpdate", "E": at_ms, "s": self.symbol, "U": first, "u": self._sequence}
            yield self._message("depth@100ms", {**diff, "b": bids, "a": asks})

    def _trade(self, at_ms: int) -> bytes:
        """A taker hits the touch: a small part of what is shown there, so that a window's trades never exceed it."""
        side = self._rng.randrange(2)
        shown = self._shown[side]
        level = min(shown) if side else max(shown)
        lots = self._rng.randint(1, max(1, shown[level] // 16))
        self._sides[side][level] = max(0, self._sides[side].get(level, 0) - lots)
        self._trade_id += 1
        price, quantity = self._text(level, lots)
        trade = {"e": "trade", "E": at_ms, "s": self.symbol, "t": self._trade_id, "p": price, "q": quantity}
        return self._message("trade", {**trade, "T": at_ms, "m": side == 0, "M": True})

    def _requote(self, busy: bool) -> None:
        """Makers resize some levels; now and then the price moves a tick."""
        for side in self._sides:
            for level in self._rng.sample(sorted(side), 12 if busy else 3):
                side[level] = self._size()
        if self._rng.random() < (0.5 if busy else 0.1):
            self._bid += self._rng.choice((-1, 1))
        self._fill()

    def _fill(self) -> None:
        """Exactly LEVELS levels a side from the touch outwards, none empty."""
        for side, levels in enumerate(
            (range(self._bid - LEVELS + 1, self._bid + 1), range(self._bid + 1, self._bid + 1 + LEVELS))
        ):
            book = self._sides[side]
            for gone in book.keys() - set(levels):
                del book[gone]
            for level in levels:
                if not book.get(level):
                    book[level] = self._size()

    def _visible(self, incident: Incident | None) -> tuple[dict[int, int], dict[int, int]]:
        """What is shown of it, which an incident changes."""
        bids, asks = (dict(side) for side in self._sides)
        if incident and incident.kind == "depth_pulled":
            bids = {level: max(1, lots // 20) for level, lots in bids.items()}
        if incident and incident.kind == "spread_blown_out":
            wide = LEVELS * 3 // 4
            bids = {level: lots for level, lots in bids.items() if level <= self._bid - wide}
            asks = {level: lots for level, lots in asks.items() if level > self._bid + wide}
        return bids, asks

    def _size(self) -> int:
        return max(1, int(self._rng.lognormvariate(0, 0.4) * self._lots))

    def _text(self, ticks: int, lots: int) -> tuple[str, str]:
        cents = ticks * self._tick
        return f"{cents // 100}.{cents % 100:02d}", f"{lots // 10_000}.{lots % 10_000:04d}"

    def _message(self, stream: str, data: dict[str, object]) -> bytes:
        return json.dumps({"stream": f"{self.symbol.lower()}@{stream}", "data": data}, separators=(",", ":")).encode()


def simulate(seconds: float, planned: list[Incident], *, seed: int = 1) -> Iterator[Raw]:
    """What a receiver would get in `seconds`: snapshots, then diffs and trades. Times start at 2026-01-01 00:00 UTC.

    Calm and busy phases of 7 s alternate.
    """
    rng = random.Random(seed)
    start_ms = 1_767_225_600_000
    markets = [
        _Market("SIMBTC", 6_000_000, 100, 8_000, rng),
        _Market("SIMETH", 300_000, 5, 90_000, rng),
        _Market("SIMSOL", 15_000, 1, 500_000, rng),
    ]
    for market in markets:
        yield Raw(start_ms * 1000, market.snapshot(), "snapshot", market.symbol)
    for step in range(1, int(seconds * 1000 / STEP_MS) + 1):
        at = step * STEP_MS / 1000
        at_ms = start_ms + step * STEP_MS
        for market in markets:
            incident = next((i for i in planned if i.symbol == market.symbol and i.active(at)), None)
            for message in market.step(at_ms, busy=int(at / 7) % 2 == 1, incident=incident):
                yield Raw(at_ms * 1000, message)
