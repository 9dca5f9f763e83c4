"""Recorded feeds for the normalizer's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from feeders.events import Raw
from feeders.replay import recording

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
def recorded(captures: Path) -> Iterator[Callable[[str], tuple[Raw, ...]]]:
    """What a venue sent, by the venue's name; skips where the captures are not at hand."""

    def read(venue: str) -> tuple[Raw, ...]:
        return _read(captures / FILES[venue])

    yield read
    _read.cache_clear()
