"""Bodies: HTTP encodings both ways, and spooling a request's body to a file that the engine can read.

A body is complete before its statement runs, so that a client that goes away in the middle inserts nothing, and a
slow client holds no engine thread. Beyond `MEMORY_BYTES` it lies in an unlinked file of the data folder: a killed node
leaves nothing behind.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any

import lz4.block
import lz4.frame
import zstandard

from chctl.node import frames

MEMORY_BYTES = 1 << 20

#: Content-Encodings; the engine's INTO OUTFILE knows them by the same names.
ENCODINGS = ("zstd", "lz4", "gzip", "deflate")


class BadBody(ValueError):
    """A body that is not what its Content-Encoding says, or ends too early."""


class _Decoder:
    """Incremental decompression of one or several frames; `finished` tells a cut-off body from a whole one."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._stream: Any = None

    def feed(self, data: bytes) -> bytes:
        out = []
        while data:
            if self._stream is None:
                self._stream = self._make()
            out.append(self._stream.decompress(data))
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data or b""
                self._stream = None
        return b"".join(out)

    @property
    def finished(self) -> bool:
        return self._stream is None


_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


def compress(encoding: str | None, data: bytes) -> bytes:
    """`data` as one whole frame of the encoding, for errors and small answers."""
    if encoding == "zstd":
        return zstandard.compress(data)
    if encoding == "lz4":
        return lz4.frame.compress(data)
    if encoding == "gzip":
        return gzip.compress(data, 1)
    if encoding == "deflate":
        return zlib.compress(data, 1)
    return data


def accepted(header: str) -> str | None:
    """The encoding of the response for an Accept-Encoding header: the first listed that the node can write."""
    for item in header.split(","):
        name, _, quality = item.strip().partition(";")
        if name in ENCODINGS and quality.replace(" ", "") not in ("q=0", "q=0.0"):
            return name
    return None


def new_file(folder: Path) -> IO[bytes]:
    """A file without a name in the folder."""
    return tempfile.TemporaryFile(dir=folder)


async def spool(chunks: AsyncIterator[bytes], encoding: str, folder: Path, framed: bool = False) -> IO[bytes]:
    """Decode a body (`framed`: in ClickHouse's own frames) into a file object, positioned at its start.

    Raises BadBody where the body does not decode or is cut off.
    """
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=str(folder))  # noqa: SIM115
    decoder: _Decoder | frames.Decoder | None = frames.Decoder() if framed else None
    if encoding and encoding != "identity":
        if encoding not in _DECODERS:
            raise BadBody(f"Unknown compression method: {encoding}. Use one of {', '.join(_DECODERS)}")
        decoder = _Decoder(_DECODERS[encoding])
    try:
        async for chunk in chunks:
            file.write(decoder.feed(chunk) if decoder else chunk)
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError, frames.BadFrame, lz4.block.LZ4BlockError) as error:
        file.close()
        raise BadBody(f"Cannot decompress the body: {error}") from error
    except BaseException:
        file.close()
        raise
    if decoder and not decoder.finished:
        file.close()
        raise BadBody("The compressed body ends in the middle of a frame")
    file.seek(0)
    return file
