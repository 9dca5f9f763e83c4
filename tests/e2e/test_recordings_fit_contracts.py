"""What the normalizer makes of every recording, whole or damaged, fits its contract to the row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from chctl.contracts import load
from chctl.demo.incident import PulledDepth
from chctl.settings import PROJECT_DIR
from feeders.events import Raw
from feeders.normalizer import normalize
from feeders.replay import recording
from feeders.sources import venue

RECORDINGS = {
    "binance": "binance/spot_btcusdt_20240808.jsonl.gz",
    "binance_usdm": "binance/usdm_btcusdt_20240808.jsonl.gz",
    "kraken": "kraken/kraken_20210417.jsonl.gz",
    "okx": "okx/okx_20220513.jsonl.gz",
    "coinbase": "coinbase/coinbase_202608.jsonl.gz",
}


def as_recorded(events: Iterable[Raw]) -> Iterable[Raw]:
    return events


def every_100th_lost(events: Iterable[Raw]) -> Iterator[Raw]:
    return (raw for number, raw in enumerate(events, 1) if number % 100)


@pytest.mark.parametrize("damage", [as_recorded, every_100th_lost])
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_row_fits(captures: Path, name: str, damage: Callable[[Iterable[Raw]], Iterable[Raw]]) -> None:
    contracts = {topic: load(PROJECT_DIR / "contracts" / f"{topic}.yaml") for topic in ("market_l2", "market_trades")}
    rows = list(normalize(damage(recording(captures / RECORDINGS[name], "BTCUSDT")), venue(name)))
    topics = {row.topic for row in rows}
    broken = [reasons for row in rows if (reasons := contracts[row.topic].reasons(json.loads(row.value)))]
    assert (topics, broken) == ({"market_l2", "market_trades"}, [])


def test_a_pulled_depth_leaves_the_feed_whole(captures: Path) -> None:
    """The incident changes sizes, never the sequence: no gap, the same trades, fewer bids for five seconds."""
    path = captures / RECORDINGS["binance"]
    plain, pulled = (
        [
            (row.topic, json.loads(row.value))
            for row in normalize(transform(recording(path, "BTCUSDT")), venue("binance"))
        ]
        for transform in (as_recorded, PulledDepth(60))
    )
    trades = [[row for topic, row in rows if topic == "market_trades"] for rows in (plain, pulled)]
    assert trades[0] == trades[1]

    books = [{row["window_start"]: row for topic, row in rows if topic == "market_l2"} for rows in (plain, pulled)]
    assert {row["update_type"] for row in books[1].values()} == {"snapshot", "delta"}
    bids = [{at: row["bid_depth"][1] for at, row in book.items() if "bid_depth" in row} for book in books]
    begin = min(books[0])
    thin = [at for at in bids[0].keys() & bids[1].keys() if bids[1][at] < bids[0][at] / 2]
    assert all(59_000 <= at - begin <= 66_000 for at in thin)
    assert len(thin) in (4, 5, 6)
    last = max(books[0].keys() & books[1].keys())
    assert books[0][last]["bid_lots"] == books[1][last]["bid_lots"]
