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
    book.work_in()
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


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm"])
def test_binance_sequences_are_followed_to_the_last_message(recorded, name):
    last = max(
        msgspec.json.decode(raw.data)["data"]["u"] for raw in recorded(name) if b'"depthUpdate"' in raw.data[:96]
    )
    normalizer = Normalizer(venue(name))
    for raw in recorded(name):
        normalizer.feed(raw)
    assert normalizer.counts["gaps"] == 0
    (state,) = normalizer._states.values()
    assert state.valid
    assert state.last_seq == last


@pytest.mark.parametrize("name", ["binance", "binance_usdm", "binance_coinm"])
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

    def levels(row, name):
        unit = 10 ** (8 - row["size_scale"])  # the scale grows when finer sizes come
        pairs = zip(row.get(f"{name}_ticks", []), row.get(f"{name}_lots", []), strict=True)
        return {ticks: lots * unit for ticks, lots in pairs}

    assert {row["price_scale"] for row in published} == {2}
    bids = levels(first, "bid")
    for row in rest:
        for ticks, lots in levels(row, "delta_bid").items():
            if ticks in bids:
                bids[ticks] += lots
        # A level deeper than ten in the first row is unknown until it is seen: from then on its deltas must explain it.
        for ticks, lots in levels(row, "bid").items():
            assert bids.setdefault(ticks, lots) == lots
    assert len(bids) > 100


@pytest.mark.parametrize("name", ["kraken", "okx"])
def test_every_checksum_matches(recorded, name):
    sent = sum((b'"c":' in raw.data and b'"book-' in raw.data) or b'"checksum"' in raw.data for raw in recorded(name))
    normalizer = Normalizer(venue(name))
    for raw in recorded(name):
        normalizer.feed(raw)
    assert normalizer.counts["checksums"] == sent > 250
    assert normalizer.counts["gaps"] == 0


def test_coinbase_sequence_is_followed_across_channels_to_the_last_message(recorded):
    messages = [msgspec.json.decode(raw.data) for raw in recorded("coinbase") if raw.kind == "message"]
    last = {
        event["product_id"]: message["sequence_num"]
        for message in messages
        if message["channel"] == "l2_data"
        for event in message["events"]
    }
    normalizer = Normalizer(venue("coinbase"))
    for raw in recorded("coinbase"):
        normalizer.feed(raw)
    assert normalizer.counts["gaps"] == 0
    assert {symbol: state.last_seq for symbol, state in normalizer._states.items()} == last
    assert normalizer._decoder._last == {"COINBASE.ws.2": messages[-1]["sequence_num"]}


def test_coinbase_books_hold_what_its_ticker_says(recorded):
    """The ticker runs a little ahead of the batched book or behind it: its quotes must be those of a book close by."""
    normalizer = Normalizer(venue("coinbase"))
    books: dict[str, list] = {"BTC-USD": [], "ETH-USD": []}
    quotes = []
    for raw in recorded("coinbase"):
        normalizer.feed(raw)
        for symbol, state in normalizer._states.items():
            if state.valid and (now := best(normalizer, symbol)) not in books[symbol][-1:]:
                books[symbol].append(now)
        message = msgspec.json.decode(raw.data) if raw.kind == "message" else {}
        if message.get("channel") == "ticker":
            for ticker in message["events"][0]["tickers"]:
                fields = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
                symbol = ticker["product_id"]
                quotes.append((symbol, len(books[symbol]), tuple(Decimal(ticker[name]) for name in fields)))
    found = sum(quote in books[symbol][max(at - 10, 0) : at + 10] for symbol, at, quote in quotes)
    assert len(quotes) > 100
    assert found / len(quotes) > 0.9


def test_coin_margined_books_count_contracts(recorded):
    published = rows(recorded, "binance_coinm", "market_l2")
    assert {(row["venue"], row["symbol"], row["size_scale"]) for row in published} == {
        ("binance_coinm", "BTCUSD_PERP", 0)
    }
    assert len(published) > 1000


def sent_trades(recorded, name):
    """Trades as the venue sent them: (symbol, id or identity), counted."""
    sent = Counter()
    for raw in recorded(name):
        if raw.kind != "message":
            continue
        message = msgspec.json.decode(raw.data)
        if name == "kraken" and isinstance(message, list) and message[-2] == "trade":
            sent.update((message[-1], t[0], t[1], t[2]) for t in message[1])
        elif name == "okx" and message.get("arg", {}).get("channel") == "trades":
            sent.update((t["instId"], int(t["tradeId"])) for t in message.get("data", []))
        elif name == "coinbase" and message["channel"] == "market_trades":
            sent.update((t["product_id"], int(t["trade_id"])) for e in message["events"] for t in e["trades"])
    return sent


@pytest.mark.parametrize("name", ["okx", "coinbase"])
def test_trades_come_out_once_each(recorded, name):
    published = Counter((row["symbol"], row["trade_id"]) for row in rows(recorded, name, "market_trades"))
    assert set(published) == set(sent_trades(recorded, name))
    assert set(published.values()) == {1}


def test_kraken_trades_come_out_once_each_under_ids_of_their_own(recorded):
    published = rows(recorded, "kraken", "market_trades")
    assert len(published) == sum(sent_trades(recorded, "kraken").values()) > 0
    assert len({row["trade_id"] for row in published}) == len(published)
    again = rows(recorded, "kraken", "market_trades")
    assert [row["trade_id"] for row in again] == [row["trade_id"] for row in published]


@pytest.mark.parametrize("name", ["binance", "coinbase", "okx"])
def test_the_side_of_a_trade_is_the_takers(recorded, name):
    """A taker who buys pays the ask: trades nearer to the offer are buys."""
    agree = total = 0
    books = {}
    for row in normalize(recorded(name), venue(name)):
        value = msgspec.json.decode(row.value)
        if row.topic == "market_l2":
            books[row.key] = value
        elif row.key in books and books[row.key]["bid_ticks"]:
            book = books[row.key]
            middle = (book["bid_ticks"][0] + book["ask_ticks"][0]) / 2 / 10 ** book["price_scale"]
            total += 1
            agree += value["side"] == ("BUY" if value["price"] > middle else "SELL")
    assert total > 20
    assert agree / total > 0.7
