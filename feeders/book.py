"""An order book in whole ticks and lots: exact, ordered, cheap to change.

Prices and quantities are integers of the decimals that the data needs (`61837.63000000` with 2 decimals is 6183763
ticks), so that equality is equality; how many decimals the venue writes is kept beside them, so that a checksum over
its digits can be computed from the book. Asks are kept under negated ticks: on both sides the best level then has the
largest key and stands at the end of the sorted lists, where inserting and deleting is cheap.

Levels are noted as they come and worked in when somebody looks: a level that changes often in a window costs one
change of the lists.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

#: Texts parsed before are looked up; beyond this many a table starts again, so that memory stays bounded.
PARSED = 8_000
#: The most decimals a row may have (contracts/market_l2.yaml).
MOST_DECIMALS = 18
#: Below every key.
NO_KEY = -(1 << 200)

_POWERS = tuple(10**n for n in range(MOST_DECIMALS + 1))


class MalformedLevel(ValueError):
    """A price or quantity that is no plain decimal."""


class _FinerUnits(Exception):
    """A level needs more decimals than the book's units have."""


def decimals(texts: Iterable[str]) -> tuple[int, int]:
    """The most digits after the point that any of them needs, and writes: `decimals(["0.10", "3"]) == (1, 2)`."""
    fractions = [text.partition(".")[2] for text in texts]
    needed = max((len(fraction.rstrip("0")) for fraction in fractions), default=0)
    return needed, max(map(len, fractions), default=0)


class Units(dict[str, int]):
    """Decimal texts in units of `sign * 10^-scale`, each parsed once. `written`: the most decimals of any so far."""

    __slots__ = ("point", "scale", "sign", "step", "written")

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign
        self.rescale(0)

    def rescale(self, scale: int, written: int = 0) -> None:
        """Count in other units; what was parsed is forgotten."""
        self.clear()
        self.scale = scale
        self.written = max(written, scale)
        self.point = -1 - self.written  # where the point stands in a text of the usual length
        self.step = _POWERS[self.written - scale] * self.sign

    def parse(self, text: str) -> int:
        """Raises MalformedLevel, or _FinerUnits if it does not come out whole."""
        digits = text.replace(".", "", 1)
        if not digits.isdecimal():
            raise MalformedLevel(f"{text!r} is no plain decimal")
        if text[self.point : self.point + 1] == ".":
            whole, rest = divmod(int(digits), self.step)
        else:
            written = len(text) - 1 - text.index(".") if "." in text else 0
            if written > self.written:
                raise _FinerUnits
            whole, rest = divmod(int(digits) * _POWERS[self.written - written], self.step)
        if rest:
            raise _FinerUnits
        return whole

    def __missing__(self, text: str) -> int:
        value = self.parse(text)
        if len(self) >= PARSED:
            self.clear()
        self[text] = value
        return value


class Side:
    """One side of a book: keys ascending (the best last) and the lots at each, and what the open window changed."""

    __slots__ = ("best", "changed", "keys", "lots", "noted", "sign", "ticks")

    def __init__(self, sign: int) -> None:
        self.sign = sign  # key = sign * ticks: +1 bids, -1 asks
        self.ticks = Units(sign)
        self.keys: list[int] = []
        self.lots: list[int] = []
        self.noted: dict[int, str] = {}  # key -> quantity as sent, not worked in yet
        self.best = NO_KEY  # no key is above it, noted ones included
        self.changed: dict[int, int] = {}  # key -> net change in lots since the last `settle`

    def note(self, levels: Sequence[Sequence[str]]) -> None:
        """Take levels of absolute quantity. Raises _FinerUnits, MalformedLevel."""
        for level in levels:
            key = self.ticks[level[0]]
            self.noted[key] = level[1]
            self.best = max(self.best, key)

    def work_in(self, sizes: Units) -> None:
        """Make the lists what was noted; a quantity of zero removes the level. Raises _FinerUnits, MalformedLevel."""
        keys, all_lots, changed = self.keys, self.lots, self.changed
        if len(sizes) >= PARSED:
            sizes.clear()
        known, point, step = sizes.get, sizes.point, sizes.step
        for key, text in self.noted.items():
            new = known(text)
            if new is None:
                # What `sizes[text]` does, without two calls: of the sizes that a venue sends many are new.
                digits = text.replace(".", "", 1)
                if text[point : point + 1] == "." and digits.isdecimal():
                    new, rest = divmod(int(digits), step)
                    if rest:
                        raise _FinerUnits
                    sizes[text] = new
                else:
                    new = sizes[text]
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                before = all_lots[at]
                if new == before:
                    continue
                if new:
                    all_lots[at] = new
                else:
                    del keys[at], all_lots[at]
                new -= before
            elif new:
                keys.insert(at, key)
                all_lots.insert(at, new)
            else:
                continue
            changed[key] = changed[key] + new if key in changed else new
        self.noted.clear()
        self.best = keys[-1] if keys else NO_KEY

    def load(self, levels: Sequence[Sequence[str]], sizes: Units) -> None:
        """Replace everything by these levels. Raises _FinerUnits, MalformedLevel."""
        prices, parse = self.ticks.parse, sizes.parse
        lots = {prices(level[0]): parse(level[1]) for level in levels}
        self.keys = sorted(key for key, size in lots.items() if size)
        self.lots = [lots[key] for key in self.keys]
        self.best = self.keys[-1] if self.keys else NO_KEY
        self.noted.clear()
        self.changed.clear()

    def top(self, n: int) -> tuple[list[int], list[int]]:
        """Ticks and lots of the n best levels, best first."""
        keys = self.keys[: -n - 1 : -1]
        return keys if self.sign > 0 else [-key for key in keys], self.lots[: -n - 1 : -1]

    def deltas(self) -> tuple[list[int], list[int]]:
        """Ticks and net signed change in lots of every level that is not what it was at the last `settle`."""
        changed = self.changed
        if 0 in changed.values():  # changed and changed back
            changed = {key: change for key, change in changed.items() if change}
        return list(changed) if self.sign > 0 else [-key for key in changed], list(changed.values())

    def resting(self, limits: Iterable[int]) -> list[int]:
        """Lots resting from the best key down to each limit; limits descend, and every level is added once."""
        end, total, sums = len(self.keys), 0, []
        for limit in limits:
            begin = bisect_left(self.keys, limit, 0, end)
            total += sum(self.lots[begin:end])
            sums.append(total)
            end = begin
        return sums

    def trim(self, depth: int) -> None:
        """Forget everything beyond the `depth` best levels (a venue of limited depth no longer reports them)."""
        excess = len(self.keys) - depth
        if excess > 0:
            changed = self.changed
            for key, lots in zip(self.keys[:excess], self.lots[:excess], strict=True):
                changed[key] = changed.get(key, 0) - lots
            del self.keys[:excess], self.lots[:excess]

    def rescale(self, price_factor: int, size_factor: int) -> None:
        """Multiply ticks and lots: the same book in finer units."""
        self.keys = [key * price_factor for key in self.keys]
        self.lots = [lots * size_factor for lots in self.lots]
        self.noted = {key * price_factor: text for key, text in self.noted.items()}
        self.changed = {key * price_factor: lots * size_factor for key, lots in self.changed.items()}
        self.best *= price_factor


class Book:
    """Bids and asks of one symbol.

    `price_scale` and `size_scale` are the decimals of a tick and a lot: the fewest that everything sent so far comes
    out whole in. They grow, never shrink, when the venue sends finer ones.
    """

    __slots__ = ("asks", "bids", "price_scale", "size_scale", "sizes")

    def __init__(self) -> None:
        self.bids = Side(1)
        self.asks = Side(-1)
        self.sizes = Units()
        self.price_scale = 0
        self.size_scale = 0

    @property
    def zeros_written(self) -> tuple[int, int]:
        """Zeros that the venue writes behind the digits of a tick and of a lot."""
        return self.bids.ticks.written - self.price_scale, self.sizes.written - self.size_scale

    def load(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> None:
        """Replace the book by a snapshot. Raises MalformedLevel; the book must not be used any more then."""

        def both() -> None:
            self.bids.load(bids, self.sizes)
            self.asks.load(asks, self.sizes)

        self._whole(both, bids, asks)

    def note(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> bool:
        """Take levels of absolute quantity; True if the book may now be crossed (work it in and look).

        Raises MalformedLevel; the book is then half changed and must not be used any more.
        """
        mine, others = self.bids, self.asks
        raised = False
        try:  # the same for both sides, written out: every level that a venue sends passes here
            if bids:
                ticks, noted, best = mine.ticks, mine.noted, mine.best
                for level in bids:
                    key = ticks[level[0]]
                    noted[key] = level[1]
                    if key > best:
                        mine.best = best = key
                        raised = True
            if asks:
                ticks, noted, best = others.ticks, others.noted, others.best
                for level in asks:
                    key = ticks[level[0]]
                    noted[key] = level[1]
                    if key > best:
                        others.best = best = key
                        raised = True
        except (_FinerUnits, ValueError, LookupError, TypeError, AttributeError):
            # Quantities are absolute: noting again what was already noted changes nothing.
            def both() -> None:
                mine.note(bids)
                others.note(asks)

            self._whole(both, bids, asks)
            return True
        return raised and mine.best + others.best >= 0

    def work_in(self) -> None:
        """Bring the book up to everything noted. Raises MalformedLevel; it must not be used any more then."""
        bids, asks, sizes = self.bids, self.asks, self.sizes
        try:
            if bids.noted:
                bids.work_in(sizes)
            if asks.noted:
                asks.work_in(sizes)
        except (_FinerUnits, ValueError, TypeError, AttributeError):

            def both() -> None:
                bids.work_in(sizes)
                asks.work_in(sizes)

            self._whole(both, [("0", size) for side in (bids, asks) for size in side.noted.values()])

    def _whole(self, work: Callable[[], object], *sides: Sequence[Sequence[str]]) -> None:
        """Do it, in finer units if what is in `sides` needs them."""
        try:
            try:
                work()
            except _FinerUnits:
                self._refine(*sides)
                work()
        except _FinerUnits:
            raise MalformedLevel("more decimals than it says") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedLevel(str(error)) from error

    def _refine(self, *sides: Sequence[Sequence[str]]) -> None:
        """Grow the scales to what `sides` needs, with everything that is kept in them."""
        prices = [decimals(level[0] for level in levels) for levels in sides]
        sizes = [decimals(level[1] for level in levels) for levels in sides]
        price_scale = max(self.price_scale, *(needed for needed, _ in prices))
        size_scale = max(self.size_scale, *(needed for needed, _ in sizes))
        price_written = max(self.bids.ticks.written, *(written for _, written in prices))
        size_written = max(self.sizes.written, *(written for _, written in sizes))
        if max(price_scale, size_scale, price_written, size_written) > MOST_DECIMALS:
            raise MalformedLevel(f"more than {MOST_DECIMALS} decimals")
        price_factor, size_factor = _POWERS[price_scale - self.price_scale], _POWERS[size_scale - self.size_scale]
        for side in (self.bids, self.asks):
            side.rescale(price_factor, size_factor)
            side.ticks.rescale(price_scale, price_written)
        self.sizes.rescale(size_scale, size_written)
        self.price_scale, self.size_scale = price_scale, size_scale

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
