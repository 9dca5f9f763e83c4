"""Recorded feeds for the normalizer's tests."""

from __future__ import annotations

import json
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


#: What one contract of BTCUSD_PERP is worth, in dollars.
CONTRACT = 100


def coin_margined(raw: Raw) -> Raw:
    """A USD-M message as COIN-M would send it, of which there is no recording: another symbol with its pair (`ps`), and
    quantities as whole contracts. Prices, sequences and times are the recorded ones.
    """

    def contracts(price: str, quantity: str) -> str:
        return str(max(1, round(float(price) * float(quantity) / CONTRACT))) if float(quantity) else "0"

    message = json.loads(raw.data)
    data = message.get("data", message)
    for side in ("b", "a", "bids", "asks"):
        if isinstance(data.get(side), list):
            data[side] = [[price, contracts(price, quantity)] for price, quantity in data[side]]
    if data.get("e") == "trade":
        data["q"] = contracts(data["p"], data["q"])
    if raw.kind == "snapshot":
        data |= {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}
    else:
        message["stream"] = message["stream"].replace("btcusdt", "btcusd_perp")
        data |= {"s": "BTCUSD_PERP", "ps": "BTCUSD"}
    symbol = "BTCUSD_PERP" if raw.symbol else ""
    return raw._replace(data=json.dumps(message, separators=(",", ":")).encode(), symbol=symbol)


@cache
def _read(path: Path) -> tuple[Raw, ...]:
    return tuple(recording(path, "BTCUSDT"))


@cache
def _coin_margined(path: Path) -> tuple[Raw, ...]:
    """The first 30 000 messages, some two minutes."""
    return tuple(coin_margined(raw) for raw in _read(path)[:30_000])


@pytest.fixture(scope="session")
def recorded(captures: Path) -> Iterator[Callable[[str], tuple[Raw, ...]]]:
    """What a venue sent, by the venue's name; skips where the captures are not at hand."""

    def read(venue: str) -> tuple[Raw, ...]:
        if venue == "binance_coinm":
            return _coin_margined(captures / FILES["binance_usdm"])
        return _read(captures / FILES[venue])

    yield read
    _read.cache_clear()
    _coin_margined.cache_clear()
