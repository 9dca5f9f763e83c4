"""A ClickHouse of one's own for a moment: chDB in a child process, on a folder that goes away with it.

chDB allows one engine a process, and a bad statement can take the process down; a child keeps both from the caller.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any


class ScratchError(RuntimeError):
    """ClickHouse refused the statement; the text is its own."""


class Scratch:
    """Statements go in, text comes out; use it as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chctl-scratch-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chctl.scratch", self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    def query(self, sql: str, output_format: str = "TSVRaw") -> str:
        """Run one statement. Raises ScratchError with ClickHouse's text, also where the engine died of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"sql": sql, "format": output_format}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ScratchError(f"the engine ended (code {self._process.wait()}) at: {sql[:200]}")
        answer = json.loads(line)
        if "error" in answer:
            raise ScratchError(answer["error"])
        return str(answer["result"])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run a SELECT; one dictionary a row, 64-bit integers as integers."""
        text = self.query(sql, "JSONEachRow")
        return [json.loads(line) for line in text.split("\n") if line]

    def close(self) -> None:
        """End the engine and remove its folder."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()


def _serve(folder: str) -> None:
    """The child: one JSON object a line in, one out, until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the engine prints does not mix with the answers
    import chdb

    connection = chdb.connect(folder)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": str(connection.query(request["sql"], request["format"]))}
        except Exception as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    answers.close()
    os._exit(0)  # chDB's own shutdown takes up to seconds, for a folder that goes away


if __name__ == "__main__":
    _serve(sys.argv[1])
