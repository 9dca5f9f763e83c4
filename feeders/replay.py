"""Recorded feeds: read a file of what a venue sent. feeders/market.py's Replay paces it.

Two formats: Binance captures (`<receive time, ns> <raw JSON>` a line; a REST snapshot is a line without "stream") and
cryptofeed captures (one JSON object a line: {"t": "recv" | "connect" | ..., "conn", "ts", "data"}). Both may be
gzipped.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec

from feeders.events import Raw


class _Line(msgspec.Struct):
    t: str
    conn: str = ""
    ts: float = 0.0
    data: str = ""


_line = msgspec.json.Decoder(_Line).decode


def recording(path: Path, symbol: str = "") -> Iterator[Raw]:
    """What was received, in order. `symbol` names the book of an inline REST snapshot that does not say whose it is."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            if line[:1] == b"{":
                record = _line(line)
                kind = {"recv": "message", "connect": "connect"}.get(record.t)
                if kind:
                    yield Raw(round(record.ts * 1e6), record.data.encode(), kind, "", record.conn)
            else:
                received, _, data = line.rstrip(b"\n").partition(b" ")
                kind = "message" if data.startswith(b'{"stream"') else "snapshot"
                yield Raw(int(received) // 1000, data, kind, symbol if kind == "snapshot" else "")
