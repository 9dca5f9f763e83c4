"""An order book in whole ticks and lots: exact, ordered, cheap to change.

Prices and quantities are integers of the venue's decimals (`61837.63` with 2 decimals is 6183763 ticks), so that
equality is equality and a checksum over the digits can be computed from the book. Asks are kept under negated ticks:
on both sides the best level then has the largest key and stands at the end of the sorted key list, where inserting
and deleting is cheap.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

#: Prices parsed before are looked up; beyond this many the table starts again, so that memory stays bounded.
PRICE_CACHE = 200_000


class MalformedLevel(ValueError):
    """A price or quantity that is no plain decimal."""


def decimals(text: str) -> int:
    """Digits after the point, as sent: `decimals("0.10") == 2`."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and ((fraction.isascii() and fraction.isdigit()) or not fraction)):
        raise MalformedLevel(f"{text!r} is no plain decimal")
    return len(fraction)


def units(text: str, scale: int) -> int:
    """`text` in units of 10^-scale; ValueError if it needs more decimals than that."""
    spare = scale - decimals(text)
    if spare < 0:
        raise ValueError(f"{text!r} has more than {scale} decimals")
    return int(text.replace(".", "")) * int(10**spare)


class Side:
    """One side of a book: lots by key, keys ascending (the best last), and what the open window changed."""

    __slots__ = ("changed", "keys", "lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign  # key = sign * ticks: +1 bids, -1 asks
        self.lots: dict[int, int] = {}
        self.keys: list[int] = []
        self.changed: dict[int, int] = {}  # key -> lots before the first change since the last `settle`

    def top(self, n: int) -> tuple[list[int], list[int]]:
        """Ticks and lots of the n best levels, best first."""
        keys = self.keys[: -n - 1 : -1]
        lots = self.lots
        if self.sign > 0:
            return keys, [lots[key] for key in keys]
        return [-key for key in keys], [lots[key] for key in keys]

    def deltas(self) -> tuple[list[int], list[int]]:
        """Ticks and net signed change in lots of every level that is not what it was at the last `settle`."""
        ticks, change = [], []
        now, sign = self.lots.get, self.sign
        for key, before in self.changed.items():
            difference = now(key, 0) - before
            if difference:
                ticks.append(sign * key)
                change.append(difference)
        return ticks, change

    def resting(self, limits: Iterable[int]) -> list[int]:
        """Lots resting from the best key down to each limit; limits descend, and every level is added once."""
        keys, lots = self.keys, self.lots.__getitem__
        end, total, sums = len(keys), 0, []
        for limit in limits:
            begin = bisect_left(keys, limit, 0, end)
            total += sum(map(lots, keys[begin:end]))
            sums.append(total)
            end = begin
        return sums

    def trim(self, depth: int) -> None:
        """Forget everything beyond the `depth` best levels (a venue of limited depth no longer reports them)."""
        excess = len(self.keys) - depth
        if excess > 0:
            for key in self.keys[:excess]:
                self.changed.setdefault(key, self.lots.pop(key))
            del self.keys[:excess]

    def rescale(self, price_factor: int, size_factor: int) -> None:
        """Multiply ticks and lots: the same book in finer units."""
        self.keys = [key * price_factor for key in self.keys]
        self.lots = {key * price_factor: lots * size_factor for key, lots in self.lots.items()}
        self.changed = {key * price_factor: lots * size_factor for key, lots in self.changed.items()}


class Book:
    """Bids and asks of one symbol.

    `price_scale` and `size_scale` are the decimals of a tick and a lot. They start at what the first snapshot sends
    and grow, never shrink, when the venue sends finer ones.
    """

    __slots__ = ("_ticks", "asks", "bids", "price_scale", "size_scale")

    def __init__(self) -> None:
        self.bids = Side(1)
        self.asks = Side(-1)
        self.price_scale = 0
        self.size_scale = 0
        self._ticks: dict[str, int] = {}

    def load(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> None:
        """Replace the book by a snapshot. Raises MalformedLevel."""
        self._refine(bids, asks)
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            sign, price_scale, size_scale = side.sign, self.price_scale, self.size_scale
            lots = {sign * units(level[0], price_scale): units(level[1], size_scale) for level in levels}
            side.lots = {key: size for key, size in lots.items() if size}
            side.keys = sorted(side.lots)
            side.changed = {}

    def apply(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> None:
        """Set levels to absolute quantities; a quantity of zero removes the level.

        Raises MalformedLevel; the book is then half changed and must not be used any more.
        """
        try:
            if bids:
                self._set(self.bids, bids)
            if asks:
                self._set(self.asks, asks)
        except _FinerUnits:
            self._refine(bids, asks)
            # Quantities are absolute: setting again the levels that were already set changes nothing.
            self._set(self.bids, bids)
            self._set(self.asks, asks)
        except (ValueError, IndexError) as error:
            raise MalformedLevel(str(error)) from error

    def _set(self, side: Side, levels: Iterable[Sequence[str]]) -> None:
        known, sign, size_scale = self._ticks, side.sign, self.size_scale
        lots, keys, changed = side.lots, side.keys, side.changed
        point = -1 - size_scale
        for level in levels:
            price, size = level[0], level[1]
            key = known[price] * sign if price in known else self._parse_price(price) * sign
            # The usual quantity shows all its decimals; anything else takes the way that checks.
            if size[point:-size_scale] == "." and (new := int(size.replace(".", "", 1))) >= 0:
                pass
            else:
                new = self._parse_size(size)
            before = lots.get(key, 0)
            if new != before:
                if key not in changed:
                    changed[key] = before
                if not new:
                    del lots[key]
                    del keys[bisect_left(keys, key)]
                else:
                    lots[key] = new
                    if not before:
                        insort(keys, key)

    def _parse_price(self, text: str) -> int:
        if decimals(text) > self.price_scale:
            raise _FinerUnits
        ticks = units(text, self.price_scale)
        if len(self._ticks) >= PRICE_CACHE:
            self._ticks.clear()
        self._ticks[text] = ticks
        return ticks

    def _parse_size(self, text: str) -> int:
        if decimals(text) > self.size_scale:
            raise _FinerUnits
        return units(text, self.size_scale)

    def _refine(self, *sides: Sequence[Sequence[str]]) -> None:
        """Grow the scales to the finest decimals in `sides`, with everything that is kept in them."""
        price_scale = max((decimals(level[0]) for levels in sides for level in levels), default=0)
        size_scale = max((decimals(level[1]) for levels in sides for level in levels), default=0)
        finer_price = max(price_scale - self.price_scale, 0)
        finer_size = max(size_scale - self.size_scale, 0)
        if finer_price or finer_size:
            self.price_scale += finer_price
            self.size_scale += finer_size
            self.bids.rescale(10**finer_price, 10**finer_size)
            self.asks.rescale(10**finer_price, 10**finer_size)
            self._ticks = {}

    def crossed(self) -> bool:
        """True if the best bid is not below the best ask: no real book is, so something was missed."""
        bids, asks = self.bids.keys, self.asks.keys
        return bool(bids and asks and bids[-1] >= -asks[-1])

    def depth(self, bands_bps: Iterable[int]) -> tuple[list[float], list[float]]:
        """Base quantity resting within each band around the mid (widening), bids and asks; empty if a side is empty.

        A band reaches from mid * (1 - bps / 10 000) to mid * (1 + bps / 10 000), ends included.
        """
        bids, asks = self.bids, self.asks
        if not bids.keys or not asks.keys:
            return [], []
        twice_mid = bids.keys[-1] - asks.keys[-1]  # asks are negated: this is best bid + best ask
        one = 10**self.size_scale
        # Whole numbers: ceil of the lower end, floor of the upper end, exact at any scale.
        below = bids.resting(-(-twice_mid * (10_000 - bps) // 20_000) for bps in bands_bps)
        above = asks.resting(-(twice_mid * (10_000 + bps) // 20_000) for bps in bands_bps)
        return [lots / one for lots in below], [lots / one for lots in above]

    def settle(self) -> None:
        """Forget what changed: from here on `deltas` counts anew."""
        self.bids.changed.clear()
        self.asks.changed.clear()


class _FinerUnits(Exception):
    """A level needs more decimals than the book's units have."""
