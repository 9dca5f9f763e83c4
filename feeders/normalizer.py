"""Raw L2 updates and trades in, rows of `market_l2` and `market_trades` out: validity, windows, what is published when.

A book is published only while every update since its snapshot is accounted for. What breaks that (a gap in the
sequence, a checksum that does not match, a crossed book, silence, a lost connection, a message nobody can read)
invalidates the book at once: the open window is discarded, a `gap` row says so, and nothing follows until a resync;
its first row is a `snapshot`.

Windows follow the venue's clock. They never go back while it wanders by less than CLOCK_STEP: a late update counts in
the open window. If the clock is set back by more, windows start again at the new time.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
import structlog

from feeders.book import NO_KEY, Book, MalformedLevel
from feeders.events import BookUpdate, ConnectionGap, Event, Malformed, Raw, TradeEvent
from feeders.sources import Venue

log = structlog.get_logger()

#: A venue's clock that goes back further than this was set, not late (milliseconds).
CLOCK_STEP = 1_000
#: A book is published at least this often (milliseconds).
HEARTBEAT = 1_000
#: Updates kept while a REST snapshot is on its way; more means that it never comes.
PENDING_LIMIT = 20_000
#: Trade ids remembered a symbol, to drop the repeats of a reconnect.
TRADE_MEMORY = 20_000
#: A book that stays without snapshot asks again after this long (microseconds).
RESYNC_AGAIN = 10_000_000

_plain_number = re.compile(r"\d+(\.\d+)?").fullmatch


class Options(NamedTuple):
    """What is published."""

    window_ms: int = 100
    levels: int = 10
    bands_bps: tuple[int, ...] = (5, 10, 25)


class Row(NamedTuple):
    """One row for Kafka; `value` is a JSON object without newline."""

    topic: str
    key: bytes
    value: bytes


class L2Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A row of `market_l2`; contracts/market_l2.yaml says what the fields mean. Empty arrays are left out."""

    venue: str
    symbol: str
    update_type: str
    window_start: int
    event_time: int
    receive_time: int
    first_seq: int
    last_seq: int
    diffs: int
    price_scale: int
    size_scale: int
    bid_ticks: list[int] = []
    bid_lots: list[int] = []
    ask_ticks: list[int] = []
    ask_lots: list[int] = []
    delta_bid_ticks: list[int] = []
    delta_bid_lots: list[int] = []
    delta_ask_ticks: list[int] = []
    delta_ask_lots: list[int] = []
    depth_bps: list[int] = []
    bid_depth: list[float] = []
    ask_depth: list[float] = []
    expected_seq: int | None = None
    received_seq: int | None = None
    reason: str | None = None


_encode = msgspec.json.Encoder().encode

#: Ticks and lots of the best levels of a side, best first.
Top = tuple[list[int], list[int]]


class _State:
    """One book: what it holds, whether it may be published, and its open window."""

    __slots__ = (
        "book",
        "conn",
        "depth_second",
        "diffs",
        "event_time",
        "first_seq",
        "floor_ask",
        "floor_bid",
        "flowing",
        "fresh",
        "key",
        "last_seq",
        "opened",
        "pending",
        "price_scale",
        "published",
        "receive_time",
        "resync_since",
        "size_scale",
        "symbol",
        "top_asks",
        "top_bids",
        "trades",
        "trades_order",
        "valid",
        "window",
    )

    def __init__(self, venue: str, symbol: str) -> None:
        self.symbol = symbol
        self.key = f"{venue}:{symbol}".encode()
        self.book = Book()
        self.conn = ""
        self.valid = False
        self.fresh = False  # valid, and not published since it became so: the next row is a snapshot
        self.last_seq = -1
        self.event_time = 0  # of the last update, ms
        self.receive_time = 0  # of the last update, us
        self.window = 0  # start of the newest window, open or published, ms
        self.opened = False  # whether it holds updates that no row has yet
        self.flowing = False  # open, and its updates are numbered and need no other check
        self.published = -(10**15)  # start of the last published window, ms
        self.first_seq = -1  # first update since the last row
        self.diffs = 0  # level changes since the last row
        self.depth_second = -1
        self.top_bids: Top = ([], [])  # as published, in units of these scales
        self.top_asks: Top = ([], [])
        self.price_scale = self.size_scale = -1
        self.floor_bid = self.floor_ask = NO_KEY  # keys of the worst published levels
        self.pending: deque[BookUpdate] = deque(maxlen=PENDING_LIMIT)
        self.resync_since = 0  # us, when a snapshot was last asked for; 0: not waiting for one
        self.trades: set[int] = set()
        self.trades_order: deque[int] = deque()


class Normalizer:
    """The books of one venue.

    Feed it with what was received, in that order, and take the rows. `resync(symbol, reason)` is called when a book
    needs a new snapshot; whoever owns the connection then makes the venue send one.
    """

    def __init__(
        self, venue: Venue, options: Options | None = None, resync: Callable[[str, str], None] | None = None
    ) -> None:
        self.venue = venue
        self.options = options or Options()
        self._counts: Counter[str] = Counter()  # what happens seldom
        self._messages = self._diffs = self._windows = self._trades = self._checksums = 0
        self.shift_ms = 0  # added to event times: a recording can be moved into the present
        self.rows: list[Row] = []
        self._resync = resync or (lambda _symbol, _reason: None)
        self._decoder = venue.decoder()
        self._decode = self._decoder.decode
        self._states: dict[str, _State] = {}
        self._heard: dict[str, int] = {}  # connection -> last message, us
        self._stale_after = int(venue.stale_after * 1e6)
        self._next_tick = 0
        self._window_ms = self.options.window_ms
        self._checked = bool(venue.book_depth or venue.checksum)

    @property
    def counts(self) -> Counter[str]:
        """What was received, published and refused so far."""
        hot = Counter(
            messages=self._messages,
            diffs=self._diffs + sum(state.diffs for state in self._states.values()),
            windows=self._windows,
            trades=self._trades,
            checksums=self._checksums,
        )
        return hot + self._counts

    @property
    def lag_ms(self) -> float:
        """Receive time minus event time of the book updated last; negative if the receiver's clock is behind."""
        newest = max(self._states.values(), key=lambda state: state.receive_time, default=None)
        return newest.receive_time / 1000 - newest.event_time if newest else 0.0

    # --- in

    def feed(self, *raws: Raw) -> None:
        """Take what was received, one message or many; the rows are then in `rows`."""
        decode, heard, states = self._decode, self._heard, self._states
        window_ms, shift_ms = self._window_ms, self.shift_ms
        for raw in raws:
            now, _, kind, wanted, conn = raw
            if now >= self._next_tick:
                self.tick(now)
            if kind != "message" and kind != "routed" and kind != "snapshot":
                self._connection(kind, conn, now)
                continue
            heard[conn] = now
            self._messages += 1
            for event in decode(raw):
                if type(event) is not BookUpdate:
                    self._other(event, raw)
                    continue
                if kind == "routed" and event.symbol != wanted:
                    continue
                event_time = event.event_time
                if shift_ms and event_time:
                    event.event_time = event_time = event_time + shift_ms
                state = states.get(event.symbol)
                if (
                    state is None
                    or not state.flowing
                    or event.prev_seq != state.last_seq
                    or not 0 <= event_time - state.window < window_ms
                ):
                    self._update(state or self._begin(event.symbol), event, now, conn)
                    continue
                # The next update of an open window, as most are: note it, and no more.
                bids, asks = event.bids, event.asks
                try:
                    suspect = state.book.note(bids, asks)
                    if suspect:
                        state.book.work_in()
                except MalformedLevel as error:
                    self._unreadable(state, event.last_seq, error, now)
                    continue
                if suspect and state.book.crossed():
                    self._invalidate(state, "crossed", now, state.last_seq, event.last_seq)
                    continue
                state.diffs += len(bids) + len(asks)
                state.last_seq = event.last_seq
                state.event_time = event_time
                state.receive_time = now
                state.conn = conn

    def _other(self, event: Event, raw: Raw) -> None:
        """What is no change of a book."""
        now, _, kind, wanted, conn = raw
        if kind == "routed" and not (isinstance(event, TradeEvent | Malformed) and event.symbol == wanted):
            return
        if isinstance(event, TradeEvent):
            event.event_time += self.shift_ms
            self._trade(event, now)
        elif isinstance(event, ConnectionGap):
            for state in self._on(conn):
                self._invalidate(state, "sequence", now, event.expected, event.received)
        elif isinstance(event, Malformed):
            self._malformed(event, now, conn)

    def _begin(self, symbol: str) -> _State:
        state = self._states[symbol] = _State(self.venue.name, symbol)
        return state

    def _connection(self, kind: str, conn: str, now: int) -> None:
        """What happened to a connection, or that time passed."""
        if kind == "alive":
            self._heard[conn] = now
        elif kind == "forget":
            self._heard.pop(conn, None)
            for state in self._on(conn):
                del self._states[state.symbol]
        elif kind in ("connect", "disconnect"):
            if kind == "connect":
                self._heard[conn] = now
            else:
                self._heard.pop(conn, None)
            self._decoder.connected(conn)
            for state in self._on(conn):
                self._invalidate(state, "disconnect", now)
                state.pending.clear()

    def take(self) -> list[Row]:
        """The rows since the last call."""
        rows, self.rows = self.rows, []
        return rows

    def _on(self, conn: str) -> list[_State]:
        return [state for state in self._states.values() if state.conn == conn]

    # --- the book

    def _update(self, state: _State, update: BookUpdate, now: int, conn: str) -> None:
        if update.snapshot:
            self._load(state, update, now, conn)
            return
        state.conn = conn
        if not state.valid:
            self._keep(state, update)
            if not self.venue.rest_snapshot:
                self._counts["ignored"] += 1
            if not state.resync_since:
                self._ask(state, "start", now)
            return
        if update.prev_seq != state.last_seq and update.prev_seq >= 0 and not self._joins(state, update):
            if update.last_seq <= state.last_seq:
                self._counts["duplicates"] += 1
                return
            self._invalidate(state, "sequence", now, state.last_seq + 1, update.first_seq)
            self._keep(state, update)
            return
        self._apply(state, update, now)

    def _joins(self, state: _State, update: BookUpdate) -> bool:
        """Whether this first update after a REST snapshot spans the snapshot's sequence."""
        return (
            self.venue.rest_snapshot
            and state.first_seq < 0
            and update.first_seq <= state.last_seq + 1 <= update.last_seq
        )

    def _load(self, state: _State, update: BookUpdate, now: int, conn: str) -> None:
        """Start the book from a snapshot and what came after it."""
        if state.valid and update.last_seq < state.last_seq and self.venue.rest_snapshot:
            return  # an answer that was overtaken; the book is ahead of it
        if self.venue.rest_snapshot:
            while state.pending and state.pending[0].last_seq <= update.last_seq:
                dropped = state.pending.popleft()
                state.event_time = dropped.event_time
            if state.pending and state.pending[0].first_seq > update.last_seq + 1:
                self._counts["snapshots_too_old"] += 1
                self._ask(state, "snapshot too old", now)
                return
        else:
            state.conn = conn
        try:
            state.book.load(update.bids, update.asks)
        except MalformedLevel as error:
            log.warning("snapshot not readable", venue=self.venue.name, symbol=state.symbol, error=str(error))
            self._invalidate(state, "sequence", now)
            self._ask(state, "snapshot not readable", now)
            return
        state.valid = state.fresh = True
        state.last_seq = update.last_seq
        state.first_seq = -1
        state.diffs = 0
        state.resync_since = 0
        self._stamp(state, update.event_time or state.event_time or now // 1000, now)
        state.opened = True
        if not self._sound(state, update, now):
            return
        pending, state.pending = state.pending, deque(maxlen=PENDING_LIMIT)
        while pending and state.valid:
            self._update(state, pending.popleft(), now, state.conn)
        state.pending.extend(pending)

    def _apply(self, state: _State, update: BookUpdate, now: int) -> None:
        """Take the next update of a valid book; the window before is published once nothing of it can be missing."""
        event_time = update.event_time or state.event_time
        row = None
        if not 0 <= event_time - state.window < self._window_ms:
            window = event_time - event_time % self._window_ms
            if window > state.window or window < state.window - CLOCK_STEP:
                if state.opened:
                    row = self._close(state, now)
                    if not state.valid:  # what was noted turned out to be unreadable
                        self._keep(state, update)
                        return
                state.window = window
        bids, asks = update.bids, update.asks
        book = state.book
        try:
            suspect = book.note(bids, asks)
            if self._checked or suspect:
                book.work_in()
        except MalformedLevel as error:
            self._unreadable(state, update.last_seq, error, now)
            return
        if self._checked:
            # Nothing but what the venue says of the book after it proves that nothing is missing before it.
            if not self._sound(state, update, now):
                return
        elif suspect and book.crossed():
            self._invalidate(state, "crossed", now, state.last_seq, update.last_seq)
            return
        if row is not None:
            self.rows.append(row)
        state.opened = True
        state.flowing = not self._checked
        state.diffs += len(bids) + len(asks)
        last = state.last_seq
        if state.first_seq < 0:
            # The first update after a REST snapshot begins before it.
            first = update.first_seq
            state.first_seq = first if first > last else last + 1
        # Where the venue numbers nothing, a time stands in: it must not go back.
        state.last_seq = update.last_seq if update.prev_seq >= 0 or update.last_seq > last else last
        state.event_time = event_time
        state.receive_time = now

    def _keep(self, state: _State, update: BookUpdate) -> None:
        """Keep what came before its snapshot, where snapshots come another way than updates."""
        if self.venue.rest_snapshot:
            state.pending.append(update)

    def _unreadable(self, state: _State, sequence: int, error: MalformedLevel, now: int) -> None:
        log.warning("level not readable", venue=self.venue.name, symbol=state.symbol, error=str(error))
        self._invalidate(state, "sequence", now, state.last_seq + 1, sequence)

    def _sound(self, state: _State, update: BookUpdate, now: int) -> bool:
        """Trim, and check that the book is one the venue could have; if not it is invalid from here on."""
        book, venue = state.book, self.venue
        if venue.book_depth:
            book.bids.trim(venue.book_depth)
            book.asks.trim(venue.book_depth)
        if update.checksum >= 0 and venue.checksum is not None:
            self._checksums += 1
            if venue.checksum(book) != update.checksum:
                self._invalidate(state, "checksum", now, state.last_seq, update.last_seq)
                return False
        if book.crossed():
            self._invalidate(state, "crossed", now, state.last_seq, update.last_seq)
            return False
        return True

    def _stamp(self, state: _State, event_time: int, now: int) -> None:
        state.event_time = event_time
        state.receive_time = now
        window = event_time - event_time % self.options.window_ms
        if window > state.window or window < state.window - CLOCK_STEP:
            state.window = window

    def _invalidate(
        self, state: _State, reason: str, now: int, expected: int | None = None, received: int | None = None
    ) -> None:
        """Stop publishing this book, say so, ask for a new one. Nothing happens to a book that is already invalid."""
        if not state.valid:
            return
        state.valid = state.opened = state.flowing = False
        self._diffs += state.diffs
        state.diffs = 0
        self._counts["gaps"] += 1
        self._counts[f"gaps_{reason}"] += 1
        log.warning(
            "book invalid", venue=self.venue.name, symbol=state.symbol, reason=reason, expected=expected, got=received
        )
        row = L2Row(
            venue=self.venue.name,
            symbol=state.symbol,
            update_type="gap",
            window_start=state.window,
            event_time=max(state.event_time, state.window),
            receive_time=now,
            first_seq=max(state.last_seq, 0),
            last_seq=max(state.last_seq, 0),
            diffs=0,
            price_scale=state.book.price_scale,
            size_scale=state.book.size_scale,
            expected_seq=expected,
            received_seq=received,
            reason=reason,
        )
        self.rows.append(Row("market_l2", state.key, _encode(row)))
        state.pending.clear()
        state.resync_since = 0
        if reason != "disconnect":  # a new connection brings new books
            self._ask(state, reason, now)

    def _ask(self, state: _State, reason: str, now: int) -> None:
        state.resync_since = now
        self._counts["resyncs"] += 1
        self._resync(state.symbol, reason)

    def _malformed(self, event: Malformed, now: int, conn: str) -> None:
        self._counts["malformed"] += 1
        log.warning("message not readable", venue=self.venue.name, symbol=event.symbol, conn=conn, why=event.why)
        for state in self._on(conn):
            if event.symbol in ("", state.symbol):
                self._invalidate(state, "sequence", now)

    # --- windows

    def _close(self, state: _State, now: int) -> Row | None:
        """The row of the open window, or None if the top is what it was and the last row is less than a second old."""
        state.opened = state.flowing = False
        levels = self.options.levels
        book = state.book
        window = state.window
        bids, asks = book.bids, book.asks
        try:
            if bids.noted or asks.noted:
                book.work_in()
        except MalformedLevel as error:
            self._unreadable(state, state.last_seq, error, now)
            return None
        if state.fresh or book.price_scale != state.price_scale or book.size_scale != state.size_scale:
            return self._row(state, bids.top(levels), asks.top(levels), window)
        # Changes that all lie below the worst published level leave a side's top as it was.
        top_bids, top_asks = state.top_bids, state.top_asks
        if bids.changed and max(bids.changed) >= state.floor_bid:
            top_bids = bids.top(levels)
        if asks.changed and max(asks.changed) >= state.floor_ask:
            top_asks = asks.top(levels)
        if (
            0 <= window - state.published < HEARTBEAT
            and (top_bids is state.top_bids or top_bids == state.top_bids)
            and (top_asks is state.top_asks or top_asks == state.top_asks)
        ):
            return None
        return self._row(state, top_bids, top_asks, window)

    def _row(self, state: _State, bids: Top, asks: Top, window: int) -> Row:
        book = state.book
        fresh = state.fresh
        second = window // 1000
        empty: list[int] = []
        depth_bps: list[int] = empty
        bid_depth: list[float] = []
        ask_depth: list[float] = []
        if fresh or second != state.depth_second:
            bid_depth, ask_depth = book.depth(self.options.bands_bps)
            if bid_depth:
                depth_bps = list(self.options.bands_bps)
                state.depth_second = second
        last = state.last_seq
        # A snapshot row stands for itself: the changes since the snapshot are in its levels, not in its deltas.
        deltas = (empty,) * 4 if fresh else (*book.bids.deltas(), *book.asks.deltas())
        row = L2Row(
            self.venue.name,
            state.symbol,
            "snapshot" if fresh else "delta",
            window,
            # A late update, or none at all: the window is then what says when.
            max(state.event_time, window),
            state.receive_time,
            state.first_seq if state.first_seq >= 0 else last,
            last,
            state.diffs,
            book.price_scale,
            book.size_scale,
            bids[0],
            bids[1],
            asks[0],
            asks[1],
            deltas[0],
            deltas[1],
            deltas[2],
            deltas[3],
            depth_bps,
            bid_depth,
            ask_depth,
        )
        self._windows += 1
        self._diffs += state.diffs
        book.settle()
        state.fresh = False
        state.top_bids, state.top_asks = bids, asks
        state.price_scale, state.size_scale = book.price_scale, book.size_scale
        # A side with less than the levels asked for has no floor: any change shows.
        levels = self.options.levels
        state.floor_bid = bids[0][-1] if len(bids[0]) == levels else NO_KEY
        state.floor_ask = -asks[0][-1] if len(asks[0]) == levels else NO_KEY
        state.published = window
        state.first_seq = -1
        state.diffs = 0
        return Row("market_l2", state.key, _encode(row))

    def tick(self, now: int) -> None:
        """Let time pass to `now` (us, receiver's clock): close windows that are over, repeat quiet books, notice
        silence.
        """
        window_ms = self.options.window_ms
        self._next_tick = now + window_ms * 500
        for conn, heard in list(self._heard.items()):
            if now - heard > self._stale_after:
                del self._heard[conn]
                for state in self._on(conn):
                    self._invalidate(state, "stale", now)
        lately = now - window_ms * 1000
        for state in self._states.values():
            if state.valid and state.receive_time > lately:
                continue
            if not state.valid:
                if state.resync_since and now - state.resync_since > RESYNC_AGAIN:
                    self._ask(state, "no snapshot came", now)
                continue
            # The venue's clock by now, judging by its last update.
            venue_now = state.event_time + (now - state.receive_time) // 1000
            if state.opened and venue_now >= state.window + 2 * window_ms:
                row = self._close(state, now)
                if row is not None:
                    self.rows.append(row)
            elif not state.opened and venue_now - state.published >= HEARTBEAT + window_ms:
                state.window = max(state.window, venue_now - venue_now % window_ms - window_ms)
                row = self._close(state, now)
                if row is not None:
                    self.rows.append(row)

    def flush(self) -> None:
        """Close every open window now (at the end of the feed, or on SIGTERM)."""
        for state in self._states.values():
            if state.valid and state.opened:
                row = self._close(state, state.receive_time)
                if row is not None:
                    self.rows.append(row)

    # --- trades

    def _trade(self, trade: TradeEvent, now: int) -> None:
        state = self._states.get(trade.symbol) or self._begin(trade.symbol)
        if trade.trade_id in state.trades:
            self._counts["trade_repeats"] += 1
            return
        if not (_plain_number(trade.price) and _plain_number(trade.quantity)):
            self._counts["malformed"] += 1
            log.warning("trade not readable", venue=self.venue.name, symbol=trade.symbol, trade_id=trade.trade_id)
            return
        state.trades.add(trade.trade_id)
        state.trades_order.append(trade.trade_id)
        if len(state.trades_order) > TRADE_MEMORY:
            state.trades.discard(state.trades_order.popleft())
        self._trades += 1
        # Prices stand in the row digit by digit as the venue sent them, so no float touches them.
        value = (
            f'{{"venue":"{self.venue.name}","symbol":{_quote(trade.symbol)},"trade_id":{trade.trade_id},'
            f'"event_time":{trade.event_time},"receive_time":{now},"price":{trade.price},"quantity":{trade.quantity},'
            f'"side":"{trade.side}","taker":true,"order_id":0}}'
        )
        self.rows.append(Row("market_trades", state.key, value.encode()))


def _quote(text: str) -> str:
    return _encode(text).decode()


def normalize(
    source: Iterable[Raw],
    venue: Venue,
    options: Options | None = None,
    resync: Callable[[str, str], None] | None = None,
) -> Iterator[Row]:
    """The rows of a finite feed, the last window included."""
    normalizer = Normalizer(venue, options, resync)
    for raw in source:
        normalizer.feed(raw)
        if normalizer.rows:
            yield from normalizer.take()
    normalizer.flush()
    yield from normalizer.take()
