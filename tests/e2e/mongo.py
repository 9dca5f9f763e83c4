"""FerretDB: a real server of MongoDB's wire protocol, built from the Go module named in tests/ferretdb."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "ferretdb"


def build(folder: Path) -> Path:
    """The server's binary; skips the test where Go is missing. The first build takes a minute, later ones a second."""
    if not shutil.which("go"):
        pytest.skip("FerretDB needs Go to be built")
    binary = folder / "ferretdb"
    built = subprocess.run(
        ["go", "build", "-o", str(binary), "."], cwd=SOURCE, capture_output=True, text=True, timeout=500, check=False
    )
    if built.returncode:
        pytest.fail(f"FerretDB does not build: {built.stderr[-2000:]}")
    return binary


@contextmanager
def running(binary: Path, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a free port of loopback: its URI and process. It ends with the context."""
    process = subprocess.Popen(
        [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait(10)
