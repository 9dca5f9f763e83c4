"""Rows against their contracts, and the windows they stand for."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace

from chctl.contracts import load
from chctl.settings import PROJECT_DIR
from feeders import book, normalizer
from feeders.events import BookUpdate, Raw, TradeEvent
from feeders.normalizer import Normalizer, normalize
from feeders.sources import venue
from feeders.sources.okx import Okx

FILES = ["binance", "binance_usdm", "kraken", "okx", "coinbase"]


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_a_recording_keeps_its_contract(recorded, name):
    contracts = {topic: load(PROJECT_DIR / "contracts" / f"{topic}.yaml") for topic in ("market_l2", "market_trades")}
    for row in normalize(recorded(name), venue(name)):
        value = msgspec.json.decode(row.value)
        assert contracts[row.topic].line_reasons(row.value) == [], value
        assert row.key == f"{value['venue']}:{value['symbol']}".encode()
        assert b"\n" not in row.value


class Scripted(Okx):
    """A venue whose messages are the events themselves: the test says what is decoded."""

    name = "scripted"
    checksum = None
    stale_after = 30.0

    def __init__(self):
        self.script: list[BookUpdate] = []

    def decoder(self):
        return self

    def connected(self, conn):
        pass

    def decode(self, raw):
        return [self.script[int(raw.data)]] if raw.kind == "message" else []


T = 1_700_000_000_000  # ms


def play(steps, options=None):
    """Rows after `steps` of (receive ms after T, update or None for time alone)."""
    scripted = Scripted()
    normalizer = Normalizer(scripted, options)
    for at, update in steps:
        scripted.script.append(update)
        kind = "message" if update else "tick"
        normalizer.feed(Raw((T + at) * 1000, str(len(scripted.script) - 1).encode(), kind, "", "c"))
    normalizer.flush()
    return [msgspec.json.decode(row.value) for row in normalizer.take()]


def snapshot(at, bids=(("10.0", "1.0"),), asks=(("11.0", "1.0"),)):
    return BookUpdate("X", T + at, 1, 1, bids, asks, -1, True)


def update(at, seq, bids=(), asks=()):
    return BookUpdate("X", T + at, seq, seq, bids, asks, seq - 1)


def test_a_window_closes_when_the_venues_clock_leaves_it():
    rows = play([(0, snapshot(0)), (10, update(10, 2, [("10.1", "2.0")])), (120, update(120, 3, [("10.2", "1.0")]))])
    assert [(r["update_type"], r["window_start"] - T, r["last_seq"]) for r in rows] == [
        ("snapshot", 0, 2),
        ("delta", 100, 3),
    ]
    assert rows[1]["bid_ticks"] == [102, 101, 100]
    assert (rows[1]["delta_bid_ticks"], rows[1]["delta_bid_lots"]) == ([102], [1])


def test_a_constant_clock_skew_changes_nothing_but_receive_times():
    steps = [(0, snapshot(0)), (110, update(110, 2, [("10.1", "2.0")])), (230, update(230, 3, [("10.2", "1.0")]))]
    straight = play(steps)
    skewed = play([(at - 3_600_000, change) for at, change in steps])
    for row in straight + skewed:
        del row["receive_time"]
    assert straight == skewed


def test_a_late_update_counts_in_the_open_window():
    rows = play([(0, snapshot(0)), (210, update(210, 2, [("10.1", "1.0")])), (215, update(150, 3, [("10.2", "1.0")]))])
    assert [r["window_start"] - T for r in rows] == [0, 200]
    assert rows[1]["last_seq"] == 3


def test_windows_start_again_when_the_venues_clock_is_set_back():
    rows = play(
        [
            (0, snapshot(0)),
            (110, update(86_400_000, 2, [("10.1", "1.0")])),
            (220, update(220, 3, [("10.2", "1.0")])),
            (330, update(330, 4, [("10.3", "1.0")])),
        ]
    )
    assert [r["window_start"] - T for r in rows] == [0, 86_400_000, 200, 300]


def test_a_change_far_from_the_top_waits_for_the_next_row_and_is_not_lost():
    levels = [(f"{10 - i / 10:.1f}", "1.0") for i in range(12)]
    rows = play(
        [
            (0, snapshot(0, levels)),
            (110, update(110, 2, [("9.0", "7.0")])),  # the eleventh level
            (220, update(220, 3, [("10.0", "5.0")])),
            (330, update(330, 4, [("10.0", "6.0")])),
        ]
    )
    assert [(r["window_start"] - T, r["first_seq"], r["last_seq"]) for r in rows[:2]] == [(0, 1, 1), (200, 2, 3)]
    assert dict(zip(rows[1]["delta_bid_ticks"], rows[1]["delta_bid_lots"], strict=True)) == {90: 6, 100: 4}


def test_a_quiet_book_is_published_every_second():
    rows = play([(0, snapshot(0)), *((at, None) for at in range(50, 5_050, 50))])
    starts = [r["window_start"] - T for r in rows]
    assert all(after - before <= 1_000 for before, after in pairwise(starts))
    assert len(starts) in (5, 6)
    assert {r.get("diffs") for r in rows[1:]} == {0}


def test_depth_bands_stand_in_the_first_row_of_every_second():
    changes = [(at, update(at, 1 + at // 100, [("10.0", f"{at}.0")])) for at in range(100, 3_000, 100)]
    rows = play([(0, snapshot(0)), *changes])
    with_depth = [r["window_start"] - T for r in rows if r.get("depth_bps")]
    assert with_depth == [0, 1000, 2000]


def test_depth_counts_the_whole_book_within_the_band():
    bids = [(f"{99.99 - i / 100:.2f}", "1.0") for i in range(40)]
    asks = [(f"{100.01 + i / 100:.2f}", "2.0") for i in range(40)]
    (row,) = play([(0, snapshot(0, bids, asks))])
    # mid 100.00: 5 bps reach from 99.95 to 100.05, both ends included
    assert row["bid_depth"] == [5.0, 10.0, 25.0]
    assert row["ask_depth"] == [10.0, 20.0, 50.0]
    assert len(row["bid_ticks"]) == 10


def test_finer_decimals_in_the_middle_of_the_feed_stay_exact():
    rows = play(
        [
            (0, snapshot(0)),
            (110, update(110, 2, [("10.125", "0.00000001")])),
            (220, update(220, 3, [("10", "3")])),
        ]
    )
    assert (rows[1]["price_scale"], rows[1]["size_scale"]) == (3, 8)
    assert rows[1]["bid_ticks"] == [10125, 10000]
    assert rows[2]["bid_lots"] == [1, 300_000_000]


def test_what_is_remembered_of_a_long_feed_is_bounded(monkeypatch):
    """Texts parsed before, trade ids, and updates that wait for a snapshot that never comes."""
    monkeypatch.setattr(book, "PARSED", 50)
    monkeypatch.setattr(normalizer, "TRADE_MEMORY", 60)
    scripted = Scripted()
    scripted.rest_snapshot = True
    subject = Normalizer(scripted)

    def feed(at, event):
        scripted.script[:] = [event]
        subject.feed(Raw((T + at) * 1000, b"0", "message", "", "c"))
        subject.take()

    feed(0, snapshot(0))
    for i in range(1_000):
        price = f"{9 + i / 10_000:.4f}"
        at = 200 * i  # two windows each
        feed(at, update(at, 2 * i + 2, [(price, f"{i + 1}.5")]))
        feed(at + 100, update(at + 100, 2 * i + 3, [(price, "0")], [(f"{12 + i / 10_000:.4f}", "0")]))
        feed(at, TradeEvent("X", i, T + at, "10.0", "1.0", "BUY"))
        feed(at, replace(update(at, i), symbol="Y"))
    subject.flush()
    state = subject._states["X"]
    assert state.valid
    assert subject.counts["trades"] == 1_000
    tables = (state.book.bids.ticks, state.book.asks.ticks, state.book.sizes)
    assert [len(table) <= 50 for table in tables] == [True] * 3
    assert len(state.trades) == len(state.trades_order) == 60
    assert len(state.book.bids.keys) == len(state.book.asks.keys) == 1
    waiting = subject._states["Y"].pending
    assert len(waiting) == 1_000 < waiting.maxlen


def test_a_crossed_book_is_not_published():
    rows = play([(0, snapshot(0)), (10, update(10, 2, [("11.0", "1.0")])), (500, None)])
    assert [(r["update_type"], r.get("reason")) for r in rows] == [("gap", "crossed")]


def test_silence_is_a_gap_and_ends_with_a_snapshot():
    rows = play([(0, snapshot(0)), (200, None), (31_000, None), (31_100, snapshot(31_100))])
    kinds = [(r["update_type"], r.get("reason")) for r in rows]
    assert kinds == [("snapshot", None), ("gap", "stale"), ("snapshot", None)]


def test_a_gap_says_what_was_expected_and_what_came():
    rows = play([(0, snapshot(0)), (10, update(10, 2)), (20, update(20, 5)), (300, update(300, 6))])
    (gap,) = rows
    assert (gap["update_type"], gap["reason"], gap["expected_seq"], gap["received_seq"]) == ("gap", "sequence", 3, 5)
