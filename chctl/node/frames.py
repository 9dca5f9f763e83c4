"""ClickHouse's own compressed frames, which `compress=1` and `decompress=1` put around bodies (clickhouse-go, Grafana).

A frame is a CityHash128 (v1.0.2) of what follows, a method byte, the size with this header and the raw size (both
little-endian uint32), and the compressed block. Source: ClickHouse's src/Compression/CompressedReadBufferBase.cpp.
"""

from __future__ import annotations

import struct

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90
FRAME_BYTES = 1 << 20
MAX_FRAME_BYTES = 1 << 30
_HEADER = struct.Struct("<BII")


class BadFrame(ValueError):
    """A frame whose checksum, method or size is not right."""


def _checksum(data: bytes) -> bytes:
    halves = int(CityHash128(data)).to_bytes(16, "little")
    return halves[8:] + halves[:8]


def encode(data: bytes) -> bytes:
    """`data` in LZ4 frames of up to `FRAME_BYTES`."""
    frames = []
    for start in range(0, len(data), FRAME_BYTES):
        raw = data[start : start + FRAME_BYTES]
        packed = lz4.block.compress(raw, store_size=False)
        body = _HEADER.pack(LZ4, _HEADER.size + len(packed), len(raw)) + packed
        frames += [_checksum(body), body]
    return b"".join(frames)


class Decoder:
    """Frames in, raw bytes out, whatever the pieces they come in."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What the data complete. Raises BadFrame."""
        self._rest += data
        out = []
        while len(self._rest) >= 16 + _HEADER.size:
            method, size, raw_size = _HEADER.unpack_from(self._rest, 16)
            if not _HEADER.size <= size <= MAX_FRAME_BYTES or raw_size > MAX_FRAME_BYTES:
                raise BadFrame(f"Wrong size of a compressed block: {size}")
            if len(self._rest) < 16 + size:
                break
            body = self._rest[16 : 16 + size]
            if _checksum(body) != self._rest[:16]:
                raise BadFrame("Checksum doesn't match: corrupted data")
            out.append(_unpack(method, body[_HEADER.size :], raw_size))
            self._rest = self._rest[16 + size :]
        return b"".join(out)

    @property
    def finished(self) -> bool:
        """Whether the data so far end with a frame."""
        return not self._rest


def _unpack(method: int, packed: bytes, raw_size: int) -> bytes:
    if method == NONE:
        return packed
    if method == LZ4:
        return bytes(lz4.block.decompress(packed, uncompressed_size=raw_size))
    if method == ZSTD:
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=raw_size)
    raise BadFrame(f"Unknown compression method {method:#x}")
