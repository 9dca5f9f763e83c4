"""Books kept the plain way, beside the normalizer: dicts of the venue's own strings, sorted by Decimal when looked at.

They say what the true book was after every recorded message, and write it as the snapshot the venue would send then.
"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from heapq import nlargest, nsmallest
from zlib import crc32

from feeders.events import Raw

Side = tuple[tuple[Decimal, Decimal], ...]


class Truth:
    """The books of one venue. `seen[symbol][seq]` holds every (bids, asks) that was true under that sequence."""

    def __init__(self, name: str, known: Truth | None = None, levels: int = 10) -> None:
        self.name = name.removesuffix("_usdm").removesuffix("_coinm")
        self.levels = levels
        self.known = known  # has seen the same feed: its `seen` is complete, and need not be worked out again
        self.books: dict[str, tuple[dict[Decimal, tuple[str, str]], dict[Decimal, tuple[str, str]]]] = {}
        self.seq: dict[str, int] = {}
        self.time: dict[str, str] = {}
        self.seen: dict[str, dict[int, set[tuple[Side, Side]]]] = (
            known.seen if known else defaultdict(lambda: defaultdict(set))
        )
        self._early: list[Raw] = []

    def feed(self, raw: Raw) -> None:
        if raw.kind in ("message", "snapshot"):
            getattr(self, f"_{self.name}")(raw)

    def _set(self, symbol, seq, bids, asks, snapshot=False, depth=0):
        if snapshot:
            self.books[symbol] = ({}, {})
        for side, levels in zip(self.books[symbol], (bids, asks), strict=True):
            for price, size in levels:
                key = Decimal(price)
                if size.strip("0."):
                    side[key] = price, size
                else:
                    side.pop(key, None)
        if depth:
            for side, best in zip(self.books[symbol], (max, min), strict=True):
                while len(side) > depth:
                    worst = (min if best is max else max)(side)
                    del side[worst]
        self.seq[symbol] = seq
        if not self.known:
            self.seen[symbol][seq].add(self.top(symbol))

    def ordered(self, symbol: str) -> tuple[list, list]:
        """All levels as the venue wrote them, best first."""
        bids, asks = self.books[symbol]
        return [bids[key] for key in sorted(bids, reverse=True)], [asks[key] for key in sorted(asks)]

    def top(self, symbol: str) -> tuple[Side, Side]:
        bids, asks = self.books[symbol]
        n = self.levels
        return (
            tuple((key, Decimal(bids[key][1])) for key in nlargest(n, bids)),
            tuple((key, Decimal(asks[key][1])) for key in nsmallest(n, asks)),
        )

    # --- the venues

    def _binance(self, raw: Raw) -> None:
        message = json.loads(raw.data)
        if raw.kind == "snapshot":
            self._set(raw.symbol, message["lastUpdateId"], message["bids"], message["asks"], snapshot=True)
            early, self._early = self._early, []
            for before in early:
                self._binance(before)
        elif message["data"].get("e") == "depthUpdate":
            d = message["data"]
            if d["s"] not in self.books:
                self._early.append(raw)
            elif d["u"] > self.seq[d["s"]]:
                self._set(d["s"], d["u"], d["b"], d["a"])

    def _kraken(self, raw: Raw) -> None:
        message = json.loads(raw.data)
        if not isinstance(message, list) or not message[-2].startswith("book"):
            return
        symbol, merged = message[-1], defaultdict(list)
        for part in message[1:-2]:
            for name, levels in part.items():
                if name != "c":
                    merged[name] += levels
        snapshot = "as" in merged
        bids, asks = (merged["bs"], merged["as"]) if snapshot else (merged["b"], merged["a"])
        newest = max([int(Decimal(level[2]) * 1_000_000) for level in bids + asks if len(level) < 4] or [0])
        seq = newest if snapshot else max(newest, self.seq.get(symbol, 0))
        strip = [[level[:2] for level in levels] for levels in (bids, asks)]
        self._set(symbol, seq, *strip, snapshot=snapshot, depth=1000)

    def _okx(self, raw: Raw) -> None:
        message = json.loads(raw.data)
        if message.get("arg", {}).get("channel") != "books" or "event" in message:
            return
        (book,) = message["data"]
        symbol = message["arg"]["instId"]
        snapshot = message["action"] == "snapshot"
        seq = int(book["ts"]) if snapshot else max(int(book["ts"]), self.seq.get(symbol, 0))
        strip = [[level[:2] for level in book[name]] for name in ("bids", "asks")]
        self.time[symbol] = book["ts"]
        self._set(symbol, seq, *strip, snapshot=snapshot)

    def _coinbase(self, raw: Raw) -> None:
        message = json.loads(raw.data)
        self.seq["*"] = message["sequence_num"]
        if message["channel"] != "l2_data":
            return
        for event in message["events"]:
            sides = {"bid": [], "offer": []}
            for u in event["updates"]:
                sides[u["side"]].append((u["price_level"], u["new_quantity"]))
            symbol = event["product_id"]
            self.time[symbol] = message["timestamp"]
            self._set(symbol, message["sequence_num"], sides["bid"], sides["offer"], event["type"] == "snapshot")

    # --- snapshots

    def snapshot(self, symbol: str) -> list[Raw]:
        """What the venue sends when asked for the book now."""
        if symbol not in self.books:
            return []
        bids, asks = self.ordered(symbol)
        seq = self.seq[symbol]
        if self.name == "binance":
            return [self._raw({"lastUpdateId": seq, "bids": bids, "asks": asks}, "snapshot", symbol)]
        if self.name == "kraken":
            stamp = f"{seq // 1_000_000}.{seq % 1_000_000:06d}"
            book = {"as": [[p, q, stamp] for p, q in asks], "bs": [[p, q, stamp] for p, q in bids]}
            return [self._raw([0, book, "book-1000", symbol])]
        if self.name == "okx":
            text = [f"{p}:{q}" for pair in zip(bids[:25], asks[:25], strict=False) for p, q in pair]
            book = {
                "bids": [[p, q, "0", "1"] for p, q in bids],
                "asks": [[p, q, "0", "1"] for p, q in asks],
                "ts": self.time[symbol],
                "checksum": crc32(":".join(text).encode()),
            }
            return [self._raw({"arg": {"channel": "books", "instId": symbol}, "action": "snapshot", "data": [book]})]
        raise ValueError(self.name)

    def new_connection(self, conn: str) -> list[Raw]:
        """Coinbase: a new connection begins with the books of all symbols, and counts messages anew."""
        begin = [Raw(0, b"", "connect", "", conn)]
        symbols = sorted(self.books)
        for back, symbol in zip(range(len(symbols) - 1, -1, -1), symbols, strict=True):
            bids, asks = self.ordered(symbol)
            updates = [
                {"side": side, "event_time": self.time[symbol], "price_level": p, "new_quantity": q}
                for side, levels in (("bid", bids), ("offer", asks))
                for p, q in levels
            ]
            event = {"type": "snapshot", "product_id": symbol, "updates": updates}
            message = {"channel": "l2_data", "timestamp": self.time[symbol], "sequence_num": self.seq["*"] - back}
            begin.append(self._raw(message | {"events": [event]}, conn=conn))
            self.seen[symbol][self.seq["*"] - back].add(self.top(symbol))
        return begin

    def _raw(self, message: object, kind: str = "message", symbol: str = "", conn: str = "") -> Raw:
        return Raw(0, json.dumps(message, separators=(",", ":")).encode(), kind, symbol, conn)
