"""A pipe from an engine thread to the event loop."""

from __future__ import annotations

import asyncio
import os


class Pipe:
    """The engine opens `path` and writes; the loop reads. Each end is closed by the side that uses it, once.

    A descriptor's number must not be closed while somebody may still open it by that number: it may be another pipe's
    by then. So the engine's thread closes the writing end after its query, and only the loop closes the reading end.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._wake = asyncio.Event()
        self.path = f"/dev/fd/{self._write}"

    def close_writing(self) -> None:
        """Called on the engine's thread when its query has ended."""
        os.close(self._write)

    def close_reading(self) -> None:
        """Called on the loop; a query that still writes fails at that (once, further calls do nothing)."""
        if self._read >= 0:
            asyncio.get_running_loop().remove_reader(self._read)
            os.close(self._read)
            self._read = -1
            self._wake.set()

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes; nothing at the end, or once the reading end is closed."""
        while self._read >= 0:
            try:
                return os.read(self._read, size)
            except BlockingIOError:
                self._wake.clear()
                asyncio.get_running_loop().add_reader(self._read, self._wake.set)
                await self._wake.wait()
                if self._read >= 0:
                    asyncio.get_running_loop().remove_reader(self._read)
        return b""
