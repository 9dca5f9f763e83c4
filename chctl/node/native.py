"""The Native format for clients that ask for the TCP protocol's revision of it (clickhouse-go, and so Grafana).

The engine writes revision 0. From `REVISION` on every block opens with its block info, and every column's type is
followed by a byte that says whether its serialization is a custom one (here: never). To put that byte in, the end of
each column's data has to be found, which is what the rest of this does. Source: ClickHouse's
src/Formats/NativeWriter.cpp. Clients of older revisions than `REVISION` get revision 0 and notice (clickhouse-connect).
"""

from __future__ import annotations

import re
import struct

#: DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
REVISION = 54454

_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # 1: no overflow block; 2: bucket -1; 0: end
_WIDTHS = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "DateTime", "Date32", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}
_U64 = struct.Struct("<Q")


class Unsupported(ValueError):
    """A column type whose data's end cannot be told from outside the engine."""


class _Short(Exception):
    """The block goes on behind the data at hand."""


class Converter:
    """Blocks of revision 0 in, the same of `REVISION` out, whatever the pieces they come in."""

    def __init__(self) -> None:
        self._rest = b""
        self._needed = 0

    def feed(self, data: bytes) -> bytes:
        """The blocks that the data complete. Raises Unsupported."""
        self._rest += data
        if len(self._rest) < self._needed:
            return b""
        out, start = [], 0
        while start < len(self._rest):
            try:
                block, start = _block(self._rest, start)
            except _Short:
                break
            out.append(block)
        self._rest = self._rest[start:]
        self._needed = 2 * len(self._rest)  # a block is parsed again from its start: not at every piece
        return b"".join(out)

    def finish(self) -> bytes:
        """The last blocks."""
        self._needed = 0
        return self.feed(b"")


def _block(data: bytes, start: int) -> tuple[bytes, int]:
    reader = _Reader(data, start)
    columns, rows = reader.varint(), reader.varint()
    out = [_BLOCK_INFO, data[start : reader.at]]
    for _ in range(columns):
        head = reader.at
        reader.skip(reader.varint())
        type_name = reader.text()
        out += [data[head : reader.at], b"\x00"]
        body = reader.at
        if rows:
            reader.prefix(type_name)
            reader.column(type_name, rows)
        out.append(data[body : reader.at])
    return b"".join(out), reader.at


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise _Short

    def varint(self) -> int:
        value = shift = 0
        while True:
            if self.at >= len(self._data):
                raise _Short
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        size = self.varint()
        start = self.at
        self.skip(size)
        return self._data[start : self.at].decode()

    def u64(self) -> int:
        start = self.at
        self.skip(8)
        return int(_U64.unpack_from(self._data, start)[0])

    def prefix(self, type_name: str) -> None:
        """What a column writes once before its data: the version of a LowCardinality."""
        name, arguments = parse(type_name)
        if name == "LowCardinality":
            self.skip(8)
        elif name in ("Array", "Map", "Tuple", "Nullable", "SimpleAggregateFunction"):
            for argument in arguments[name == "SimpleAggregateFunction" :]:
                self.prefix(argument)

    def column(self, type_name: str, rows: int) -> None:
        """Go to the end of a column's data."""
        name, arguments = parse(type_name)
        if name in _WIDTHS:
            self.skip(_WIDTHS[name] * rows)
        elif name == "String":
            for _ in range(rows):
                self.skip(self.varint())
        elif name == "FixedString":
            self.skip(int(arguments[0]) * rows)
        elif name == "Decimal":
            digits = int(arguments[0])
            self.skip(rows * (4 if digits <= 9 else 8 if digits <= 18 else 16 if digits <= 38 else 32))
        elif name == "Nullable":
            self.skip(rows)
            self.column(arguments[0], rows)
        elif name in ("Array", "Map"):
            if rows:
                self.skip(8 * (rows - 1))
                inner = self.u64()
                for argument in arguments:
                    self.column(argument, inner)
        elif name == "Tuple":
            for argument in arguments:
                self.column(argument, rows)
            if not arguments:
                self.skip(rows)
        elif name == "SimpleAggregateFunction":
            self.column(arguments[1], rows)
        elif name.startswith("Interval"):
            self.skip(8 * rows)
        elif name == "LowCardinality":
            self._low_cardinality(arguments[0], rows)
        else:
            raise Unsupported(f"a column of type {type_name} cannot be sent in this revision of Native: CAST it")

    def _low_cardinality(self, inner: str, rows: int) -> None:
        if not rows:
            return
        flags = self.u64()
        if flags & 0x200:  # own keys, not a shared dictionary
            name, arguments = parse(inner)
            self.column(arguments[0] if name == "Nullable" else inner, self.u64())
        self.skip(self.u64() << (flags & 0xFF))


def parse(type_name: str) -> tuple[str, list[str]]:
    """A type's name and its arguments; names of a tuple's elements are left out."""
    type_name = _ALIASES.get(type_name, type_name)
    name, bracket, rest = type_name.partition("(")
    if not bracket:
        return name, []
    if name.startswith("Enum") or name.startswith("DateTime"):
        return name, []
    arguments = _split(rest[:-1])
    if name == "Nested":
        return "Array", [f"Tuple({rest}"]
    if name == "Tuple":
        arguments = [_without_name(argument) for argument in arguments]
    return name, arguments


def _split(text: str) -> list[str]:
    """Cut at the commas outside of brackets and quotes."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]", text):
        sign = match.group()
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()] if text.strip() else []


def _without_name(element: str) -> str:
    """`a UInt8` and `a UInt8` in backquotes are `UInt8`."""
    match = re.match(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=[A-Z])", element)
    return element[match.end() :] if match else element
