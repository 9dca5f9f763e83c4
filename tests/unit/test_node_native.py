"""ClickHouse's compressed frames and the Native revision of its TCP protocol, read by clickhouse-driver's own code."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.compression.lz4 import Decompressor
from clickhouse_driver.reader import read_binary_uint8, read_binary_uint128
from hypothesis import given
from hypothesis import strategies as st

from chctl.node import frames
from chctl.node.native import Converter, Unsupported, parse

BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def text(value: bytes) -> bytes:
    """A string as Native has it."""
    return bytes([len(value)]) + value


def column(name: bytes, type_name: bytes, data: bytes, flag: bytes = b"") -> bytes:
    """A column as Native has it, with or without the byte of newer revisions."""
    return text(name) + text(type_name) + flag + data


U64 = [(i).to_bytes(8, "little") for i in range(20)]
LOW_CARDINALITY = U64[1] + (0x600).to_bytes(8, "little") + U64[2] + text(b"") + text(b"x") + U64[2] + b"\x01\x01"
COLUMNS = [  # two rows each
    (b"UInt64", U64[0] + U64[1]),
    (b"String", text(b"") + text(b"abc")),
    (b"Nullable(Float32)", b"\x00\x01" + bytes(8)),
    (b"Array(String)", U64[1] + U64[3] + text(b"a") + text(b"b") + text(b"c")),
    (b"Map(String, UInt8)", U64[0] + U64[1] + text(b"k") + b"\x05"),
    (b"Tuple(a UInt8, b String)", b"\x01\x02" + text(b"x") + text(b"y")),
    (b"Enum8('a, (' = 1, 'b\\'' = 2)", b"\x01\x02"),
    (b"Decimal(18, 8)", bytes(16)),
    (b"DateTime64(3, 'UTC')", bytes(16)),
    (b"FixedString(3)", b"abcdef"),
    (b"LowCardinality(String)", LOW_CARDINALITY),
    (b"SimpleAggregateFunction(max, UInt64)", U64[1] + U64[2]),
]


@given(st.lists(st.integers(0, 400), max_size=8))
def test_blocks_gain_their_info_and_a_byte_a_column_however_they_are_cut(cuts: list[int]) -> None:
    head = bytes([len(COLUMNS), 2])
    block = head + b"".join(column(b"c", name, data) for name, data in COLUMNS)
    expected = BLOCK_INFO + head + b"".join(column(b"c", name, data, b"\x00") for name, data in COLUMNS)
    stream, points = block * 2, sorted({0, *cuts})
    converter = Converter()
    pieces = [converter.feed(stream[a:b]) for a, b in zip(points, [*points[1:], len(stream)], strict=True)]
    assert b"".join(pieces) + converter.finish() == expected * 2


def test_a_type_of_unknown_width_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="AggregateFunction"):
        Converter().feed(b"\x01\x01" + column(b"s", b"AggregateFunction(uniq, UInt64)", bytes(9)))


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("UInt8", ("UInt8", [])),
        (
            "Tuple(a Array(Tuple(x UInt8, `y z` String)), String)",
            ("Tuple", ["Array(Tuple(x UInt8, `y z` String))", "String"]),
        ),
        ("Map(String, Enum8('a,' = 1))", ("Map", ["String", "Enum8('a,' = 1)"])),
        ("Point", ("Tuple", ["Float64", "Float64"])),
        ("Tuple()", ("Tuple", [])),
    ],
)
def test_types_are_taken_apart(type_name: str, expected: tuple[str, list[str]]) -> None:
    assert parse(type_name) == expected


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_frames_come_back_however_they_are_cut(data: bytes, size: int) -> None:
    packed = frames.encode(data)
    decoder = frames.Decoder()
    assert b"".join(decoder.feed(packed[i : i + size]) for i in range(0, len(packed), size)) == data
    assert decoder.finished


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_damaged_frame_is_never_taken(data: bytes, draw: st.DataObject) -> None:
    packed = bytearray(frames.encode(data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= draw.draw(st.integers(1, 255))
    decoder = frames.Decoder()
    try:
        assert decoder.feed(bytes(packed)) == b""
    except frames.BadFrame:
        return
    assert not decoder.finished


def test_clickhouse_driver_reads_the_frames() -> None:
    data = b"0123456789" * 1000
    stream = io.BytesIO(frames.encode(data))
    reader = BufferedSocketReader(SimpleNamespace(recv_into=stream.readinto), 1 << 16)
    checksum = read_binary_uint128(reader)
    assert Decompressor(reader).get_decompressed_data(read_binary_uint8(reader), checksum, 1) == data
