"""What a network, a venue or a bug can do to a feed, done to the recordings: no wrong book is ever published.

hypothesis picks where messages are dropped, doubled, swapped, delayed, cut short, garbled or altered. Every published
book must be one that was true under its sequence, and after resync the books must be right again. Altered digits are
tried where the venue sends checksums; elsewhere nothing in the protocol could tell.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeders.events import BookUpdate
from feeders.normalizer import Normalizer
from feeders.sources import venue

from .truth import Truth

LENGTH = 600  # messages of a recording
KINDS = ["drop", "duplicate", "reorder", "delay", "truncate", "garbage"]
CHECKED = {"kraken", "okx"}


def shallow(raw):
    """Coinbase's snapshots hold 60 000 levels, which would only cost time: the best 1 000 a side stay."""
    if b'"snapshot","product_id"' not in raw.data[:200]:
        return raw
    message = json.loads(raw.data)
    for event in message["events"]:
        sides = {"bid": [], "offer": []}
        for level in event["updates"]:
            sides[level["side"]].append(level)
        event["updates"] = sides["bid"][:1000] + sides["offer"][:1000]
    return raw._replace(data=json.dumps(message).encode())


class Feeds(dict):
    """Shows itself in a line where a test fails."""

    def __repr__(self):
        return f"Feeds({', '.join(self)})"


@pytest.fixture(scope="module")
def feeds(recorded):
    """The market data of each recording's beginning."""

    def market(raw):
        return raw.kind != "message" or any(
            mark in raw.data for mark in (b'"depthUpdate"', b'"trade', b'"book', b"sequence_num")
        )

    names = ("binance", "binance_usdm", "binance_coinm", "kraken", "okx", "coinbase")
    found = Feeds()
    for name in names:
        raws = [shallow(raw) for raw in recorded(name) if market(raw)][:LENGTH]
        truth = Truth(name)
        for raw in raws:
            truth.feed(raw)
        found[name] = raws, truth
    return found


def altered(data: bytes, pick: int) -> bytes:
    """One digit of one price or quantity changed."""
    message = json.loads(data)
    if isinstance(message, list):
        levels = [level for part in message[1:-2] if isinstance(part, dict) for k in "ab" for level in part.get(k, [])]
    else:
        levels = [level for book in message.get("data", []) for k in ("bids", "asks") for level in book.get(k, [])]
    if not levels:
        return data
    level = levels[pick % len(levels)]
    field = pick % 2
    text = level[field]
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    at = digits[(pick // 2) % len(digits)]
    level[field] = text[:at] + str((int(text[at]) + 1 + pick % 8) % 10) + text[at + 1 :]
    return json.dumps(message, separators=(",", ":")).encode()


def mutate(raws, mutations):
    """(index of the newest original message that was sent by then, what arrives)."""
    arriving = [(i, raw) for i, raw in enumerate(raws)]
    for kind, at, pick in sorted(mutations, key=lambda m: -m[1]):
        at %= len(arriving) - 10
        index, raw = arriving[at]
        if raw.kind != "message":
            continue
        if kind == "drop":
            del arriving[at]
        elif kind == "duplicate":
            arriving.insert(at + 1 + pick % 4, (index, raw))
        elif kind == "reorder":
            arriving[at], arriving[at + 1] = arriving[at + 1], arriving[at]
        elif kind == "delay":
            arriving.insert(at + 1 + pick % 9, arriving.pop(at))
        elif kind == "truncate":
            arriving[at] = index, raw._replace(data=raw.data[: 1 + pick % max(len(raw.data) - 1, 1)])
        elif kind == "garbage":
            arriving[at] = index, raw._replace(data=bytes([pick % 256, 0xFF, 123]) * 3)
        elif kind == "alter":
            arriving[at] = index, raw._replace(data=altered(raw.data, pick))
    return arriving


def run(name, feed, mutations, latency=3):
    """Feed the mutated recording; whoever asks gets the true book some messages later. Returns (normalizer, truth,
    rows).
    """
    raws, known = feed
    truth = Truth(name, known)
    asked: list[tuple[int, str]] = []  # (answer when this many messages have arrived, symbol)
    arrived = 0
    normalizer = Normalizer(venue(name), resync=lambda symbol, _reason: asked.append((arrived + latency, symbol)))
    told = 0
    started = False
    for index, raw in mutate(raws, mutations):
        while told <= index:
            truth.feed(raws[told])
            told += 1
        arrived += 1
        normalizer.feed(raw)
        started = started or raw.kind == "snapshot"
        # The recording itself answers the first question.
        due = [symbol for when, symbol in asked if when <= arrived] if started or "binance" not in name else []
        if due:
            asked = [(when, symbol) for when, symbol in asked if when > arrived]
            if name == "coinbase":
                answers = truth.new_connection(raw.conn)
            else:
                answers = [answer for symbol in dict.fromkeys(due) for answer in truth.snapshot(symbol)]
            for answer in answers:
                normalizer.feed(answer._replace(receive_time=raw.receive_time, conn=raw.conn))
    normalizer.flush()
    return normalizer, truth, normalizer.take()


def levels(row, side):
    price, size = Decimal(1).scaleb(-row["price_scale"]), Decimal(1).scaleb(-row["size_scale"])
    pairs = zip(row.get(f"{side}_ticks", []), row.get(f"{side}_lots", []), strict=True)
    return tuple((ticks * price, lots * size) for ticks, lots in pairs)


def check(truth, rows):
    """Every published book was true under its sequence; what follows a gap is a snapshot; trades are there once."""
    state: dict[str, str] = {}
    trades: Counter = Counter()
    for raw in rows:
        row = msgspec.json.decode(raw.value)
        symbol = row["symbol"]
        if raw.topic == "market_trades":
            trades[symbol, row["trade_id"]] += 1
            continue
        kind = row["update_type"]
        if kind != "gap":
            assert (levels(row, "bid"), levels(row, "ask")) in truth.seen[symbol][row["last_seq"]], row
            assert kind == "snapshot" or state[symbol] != "gap"
        state[symbol] = kind
    assert set(trades.values()) <= {1}


def check_end(normalizer, truth):
    for symbol, book_state in normalizer._states.items():
        if symbol in truth.books:
            assert book_state.valid, symbol
            book = book_state.book
            book.work_in()
            price, size = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.size_scale)
            tops = tuple(
                tuple((t * price, q * size) for t, q in zip(*side.top(10), strict=True))
                for side in (book.bids, book.asks)
            )
            assert tops == truth.top(symbol)


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm", "kraken", "okx", "coinbase"])
def test_the_unmutated_feed_publishes_the_truth(feeds, name):
    normalizer, truth, rows = run(name, feeds[name], [])
    assert len(rows) > 50
    assert normalizer.counts["gaps"] == 0
    check(truth, rows)
    check_end(normalizer, truth)


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm", "kraken", "okx", "coinbase"])
def test_the_rows_alone_say_the_book_at_the_end_of_every_window(feeds, name):
    """A window without a row left the top as it was: the last row before its end still holds."""
    _, truth, published = run(name, feeds[name], [])
    rows: dict[str, list] = {}
    for row in (msgspec.json.decode(r.value) for r in published if r.topic == "market_l2"):
        rows.setdefault(row["symbol"], []).append(row)
    ends: dict[str, dict[int, int]] = {}  # symbol -> window -> sequence of the last update in it
    decoder = venue(name).decoder()
    for raw in feeds[name][0]:
        for event in decoder.decode(raw):
            if isinstance(event, BookUpdate) and event.event_time:
                windows = ends.setdefault(event.symbol, {})
                window = max(event.event_time // 100 * 100, *windows, 0)  # a late update counts in the open window
                windows[window] = max(event.last_seq, windows.get(window, 0))
    silent = 0
    for symbol, windows in ends.items():
        for window, seq in windows.items():
            before = [row for row in rows[symbol] if row["window_start"] <= window]
            if before and seq >= rows[symbol][0]["last_seq"]:
                silent += before[-1]["window_start"] < window
                assert (levels(before[-1], "bid"), levels(before[-1], "ask")) in truth.seen[symbol][seq]
    assert silent or name in ("binance_usdm", "binance_coinm")  # whose top changes in every window


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm", "kraken", "okx", "coinbase"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_wrong_book_is_published_and_resync_repairs(feeds, name, data):
    kinds = [*KINDS, "alter"] if name in CHECKED else KINDS
    raws, _ = feeds[name]
    last = len(raws) * 7 // 10  # the end is left alone, so that the books can recover
    mutation = st.tuples(st.sampled_from(kinds), st.integers(0, last), st.integers(0, 10_000))
    mutations = data.draw(st.lists(mutation, min_size=1, max_size=6))
    normalizer, truth, rows = run(name, feeds[name], mutations, latency=data.draw(st.integers(0, 8)))
    check(truth, rows)
    check_end(normalizer, truth)


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm", "coinbase"])
def test_every_lost_update_is_noticed(feeds, name):
    """Where updates are numbered, each single loss shows as a gap with the numbers."""
    raws, _ = feeds[name]
    mark = b"sequence_num" if name == "coinbase" else b'"depthUpdate"'
    places = [i for i, raw in enumerate(raws) if mark in raw.data][60:-20:157]
    for at in places:
        normalizer, truth, rows = run(name, feeds[name], [("drop", at, 0)])
        gaps = [row for row in map(msgspec.json.decode, (r.value for r in rows)) if row.get("update_type") == "gap"]
        # Coinbase counts across channels: both books are in doubt.
        assert len(gaps) >= 1
        assert gaps[0]["reason"] == "sequence"
        assert gaps[0]["expected_seq"] < gaps[0]["received_seq"]
        check(truth, rows)
        check_end(normalizer, truth)
