"""Recorded feeds for the normalizer's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from feeders.events import Raw
from feeders.replay import recording

ROOT = Path(__file__).resolve().parents[3]
CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", ROOT.parent / "shared" / "data"))

FILES = {
    "binance": "binance/spot_btcusdt_20240808.jsonl.gz",
    "binance_usdm": "binance/usdm_btcusdt_20240808.jsonl.gz",
    "kraken": "kraken/kraken_20210417.jsonl.gz",
    "okx": "okx/okx_20220513.jsonl.gz",
    "coinbase": "coinbase/coinbase_202608.jsonl.gz",
}


@cache
def _read(path: Path) -> tuple[Raw, ...]:
    return tuple(recording(path, "BTCUSDT"))


@pytest.fixture(scope="session")
def recorded() -> Iterator[Callable[[str], tuple[Raw, ...]]]:
    """What a venue sent, by the venue's name; skips where the captures are not at hand."""

    def read(venue: str) -> tuple[Raw, ...]:
        path = CAPTURES / FILES[venue]
        if not path.exists():
            pytest.skip(f"no capture at {path}: set CHCTL_CAPTURES")
        return _read(path)

    yield read
    _read.cache_clear()
