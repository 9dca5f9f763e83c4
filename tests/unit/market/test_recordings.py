"""The normalizer against what the venues themselves say about their books."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from feeders.normalizer import Normalizer, normalize
from feeders.sources import venue


def rows(recorded, name, topic):
    return [msgspec.json.decode(row.value) for row in normalize(recorded(name), venue(name)) if row.topic == topic]


def best(normalizer, symbol):
    """Best bid and offer, price and size, as the venue would write them."""
    book = normalizer._states[symbol].book
    price, size = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.size_scale)
    (bid,), (bid_lots,) = book.bids.top(1)
    (ask,), (ask_lots,) = book.asks.top(1)
    return bid * price, bid_lots * size, ask * price, ask_lots * size


def test_binance_spot_best_equals_book_ticker_at_the_same_update_id(recorded):
    raws = recorded("binance")
    tickers = {}
    for raw in raws:
        if b"@bookTicker" in raw.data[:64]:
            t = msgspec.json.decode(raw.data)["data"]
            tickers[t["u"]] = tuple(Decimal(t[name]) for name in "bBaA")
    normalizer = Normalizer(venue("binance"))
    compared = equal = 0
    last = -1
    for raw in raws:
        normalizer.feed(raw)
        state = normalizer._states.get("BTCUSDT")
        if state and state.valid and state.last_seq != last:
            last = state.last_seq
            if last in tickers:
                compared += 1
                equal += best(normalizer, "BTCUSDT") == tickers[last]
    assert compared > 500
    assert equal / compared >= 0.999
    assert normalizer.counts["gaps"] == 0


@pytest.mark.parametrize("name", ["binance", "binance_usdm"])
def test_binance_sequences_are_followed_to_the_last_message(recorded, name):
    last = max(
        msgspec.json.decode(raw.data)["data"]["u"] for raw in recorded(name) if b'"depthUpdate"' in raw.data[:96]
    )
    normalizer = Normalizer(venue(name))
    for raw in recorded(name):
        normalizer.feed(raw)
    assert normalizer.counts["gaps"] == 0
    assert normalizer._states["BTCUSDT"].valid
    assert normalizer._states["BTCUSDT"].last_seq == last


@pytest.mark.parametrize("name", ["binance", "binance_usdm"])
def test_binance_trades_come_out_once_each(recorded, name):
    sent = Counter()
    for raw in recorded(name):
        if b'"trade"' in raw.data[:96]:
            sent[msgspec.json.decode(raw.data)["data"]["t"]] += 1
    assert Counter(row["trade_id"] for row in rows(recorded, name, "market_trades")) == sent
    assert set(sent.values()) == {1}


@pytest.mark.parametrize("name", ["binance", "binance_usdm"])
def test_rows_leave_no_sequence_out(recorded, name):
    """Every row starts where the one before ended: the deltas of all rows together miss no update."""
    published = rows(recorded, name, "market_l2")
    assert published[0]["update_type"] == "snapshot"
    assert {row["update_type"] for row in published[1:]} == {"delta"}
    for before, row in pairwise(published):
        assert row["window_start"] > before["window_start"]
        if row["diffs"]:
            assert before["last_seq"] < row["first_seq"] <= row["last_seq"]
            if name == "binance":
                assert row["first_seq"] == before["last_seq"] + 1


def test_snapshot_and_deltas_add_up_to_the_published_book(recorded):
    published = rows(recorded, "binance", "market_l2")
    first, rest = published[0], published[1:]
    bids = dict(zip(first["bid_ticks"], first["bid_lots"], strict=True))
    for row in rest:
        for ticks, lots in zip(row["delta_bid_ticks"], row["delta_bid_lots"], strict=True):
            if ticks in bids:
                bids[ticks] += lots
        # A level deeper than ten in the first row is unknown until it is seen: from then on its deltas must explain it.
        for ticks, lots in zip(row["bid_ticks"], row["bid_lots"], strict=True):
            assert bids.setdefault(ticks, lots) == lots
    assert len(bids) > 100
