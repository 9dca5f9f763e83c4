"""A simulated venue, deterministic by seed: ordinary accounts, labelled offenders, books, trades, and a lossy network.

Ordinary accounts are what makes surveillance hard: market makers that cancel 95 % and more of their orders, some of
them within 100 ms, and everything at once when their line breaks; bots that lay out grids and take them down, that
work a large order for minutes, that begin in the middle of the day; busy minutes in which the whole market
speeds up; news, at
which the price jumps and spreads widen and depth thins for seconds; feeds that lose their place and mend it; the odd
accidental trade with oneself; people who mistype their password and then withdraw. All of it comes at rates, so that a
day has more of it than ten minutes. Transfers have a past of a week, which arrives before everything else.

Offenders behave like others of their tier until their episode begins. Each has a kind (the rule that should see it)
and a strength: strong, moderate or weak.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

VENUE = "sim"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
TIERS = ("market_maker", "bot", "retail")
ACTIONS = ("new", "cancel", "replace", "fill", "reject", "expire", "deposit", "withdrawal", "login", "login_failed")
NEW, CANCEL, _, FILL, _, _, DEPOSIT, WITHDRAWAL, LOGIN, LOGIN_FAILED = range(len(ACTIONS))
PAST_S = 7 * 86_400
STRENGTHS = ("strong", "moderate", "weak")
ACCOUNT_KINDS = (
    "aggressive_cancels",
    "order_velocity",
    "excessive_executions",
    "order_to_trade",
    "quote_stuffing",
    "layering",
    "price_fade",
    "self_trade",
    "withdrawal_velocity",
    "large_transfer",
)
BOOK_KINDS = ("spread_blowout", "liquidity_drop", "feed_unhealthy")


@dataclass(frozen=True)
class Label:
    """One episode of misbehaviour: who, what, how much, and when it begins (seconds after the start)."""

    kind: str
    strength: str
    entity: str  # a user id, or venue:symbol
    begins_s: float
    ends_s: float


@dataclass
class Market:
    """What a run produces; times are milliseconds after its start.

    `actions`, `trades`, `books`: columns of equal length, in the order of arrival (`arrival` of each). Transfers of the
    week before the start have negative times and the arrival -1.
    """

    seed: int
    seconds: int
    actions: dict[str, Any]
    trades: dict[str, Any]
    books: dict[str, Any]
    labels: list[Label]
    tiers: dict[int, str] = field(default_factory=dict)


class Events:
    """Collects events column by column; one call of `add` is one kind of event of one account."""

    COLUMNS = ("time", "user", "action", "symbol", "order", "side", "price", "quantity", "trade", "other", "created")

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self.last_id = 0

    def ids(self, count: int) -> Ints:
        """`count` new ids, for orders and trades alike."""
        self.last_id += count
        return np.arange(self.last_id - count + 1, self.last_id + 1)

    def add(self, time: Any, user: Any, action: int, **columns: Any) -> None:
        """Add events at `time` (ms, an array); other columns are arrays of its length or one value for all."""
        count = len(time)
        part = {"time": np.asarray(time, dtype=np.int64), "user": user, "action": action} | columns
        self._parts.append({c: np.broadcast_to(np.asarray(part.get(c, 0)), count) for c in self.COLUMNS})

    def columns(self) -> dict[str, Any]:
        """All events so far, one array a column."""
        return {c: np.concatenate([part[c] for part in self._parts]) for c in self.COLUMNS}


class Venue:
    """Builds one Market."""

    def __init__(self, seed: int, minutes: float, offenders: bool = True) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.seconds = int(minutes * 60)
        self.ms = self.seconds * 1000
        self.events = Events()
        self.labels: list[Label] = []
        self.tiers: dict[int, str] = {}
        self.offenders = offenders
        self.activity = self._activity()
        self.mids = np.array([self._walk(60000.0), self._walk(3000.0)])  # [symbol, 100 ms]
        self.half_spread = self.mids[:, ::10] * 0.5e-4 * self._breath(0.15)  # [symbol, second]
        self.depth = self._breath(0.2) * np.array([[20.0], [400.0]])
        self.gaps: list[tuple[int, int, str]] = []  # (ms, symbol, reason)
        for at in self.moments(1 / 1800, calm=True):
            self._news(int(at // 1000))
        for symbol in (0, 1):  # a feed that loses its place and takes a new snapshot
            for at in self.moments(1 / 3600, calm=True):
                self.gaps.append((int(at), symbol, str(self.rng.choice(("sequence", "checksum", "disconnect")))))

    def _activity(self) -> Floats:
        """How busy the whole market is, per second: 1 on average calm seconds, 2 to 3 in busy spells."""
        activity = np.exp(self.rng.normal(0, 0.1, self.seconds))
        for start in self.rng.uniform(0, self.seconds, max(1, self.seconds // 300)):
            length = int(self.rng.uniform(20, 60))
            activity[int(start) : int(start) + length] *= self.rng.uniform(1.5, 2.5)
        return activity

    def _breath(self, spread: float) -> Floats:
        """Factors around 1, a symbol and second, that wander for some ten seconds; `spread` in logarithm."""
        steps = self.rng.normal(0, spread * np.sqrt(1 - 0.9**2), (2, self.seconds + 1))
        steps[:, 0] = self.rng.normal(0, spread, 2)
        for second in range(1, self.seconds + 1):
            steps[:, second] += 0.9 * steps[:, second - 1]
        return np.exp(steps)

    def _news(self, at: int) -> None:
        """At second `at` the price jumps; for seconds spreads are up to four times as wide, depth down to half."""
        self.mids[:, at * 10 :] *= np.exp(self.rng.normal(0, 15e-4))
        fading = np.exp(-np.arange(self.half_spread.shape[1] - at) / self.rng.uniform(2, 6))
        self.half_spread[:, at:] *= 1 + self.rng.uniform(0.5, 3) * fading
        self.depth[:, at:] *= 1 - self.rng.uniform(0.2, 0.5) * fading
        self.activity[at : at + int(self.rng.uniform(20, 60))] *= self.rng.uniform(1.5, 2.5)

    def _walk(self, price: float) -> Floats:
        return price * np.exp(np.cumsum(self.rng.normal(0, 1.5e-5, self.seconds * 10 + 10)))

    def moments(self, rate: float, begin_s: float = 0.0, end_s: float | None = None, calm: bool = False) -> Ints:
        """Poisson times (ms) at `rate` a second, faster when the market is busy unless `calm`."""
        end_s = self.seconds if end_s is None else min(end_s, self.seconds)
        begin_s = min(begin_s, end_s - 0.001)
        peak = 1.0 if calm else float(self.activity.max())
        count = self.rng.poisson(rate * peak * max(0.0, end_s - begin_s))
        times = np.sort(self.rng.uniform(begin_s * 1000, end_s * 1000 - 1, count))
        if not calm:
            times = times[self.rng.random(count) * peak < self.activity[(times / 1000).astype(int)]]
        return times.astype(np.int64)

    def touch(self, symbol: Any, side: Any, time: Any) -> Floats:
        """Best price of a side (0 buy, 1 sell) at a time."""
        at = np.minimum(np.asarray(time) // 100, self.mids.shape[1] - 1)
        second = np.minimum(np.asarray(time) // 1000, self.half_spread.shape[1] - 1)
        return self.mids[symbol, at] + np.where(np.asarray(side) == 0, -1, 1) * self.half_spread[symbol, second]

    # --- ordinary behaviour

    def quote(
        self,
        user: int,
        times: Ints,
        life_ms: Any,
        fill_share: float,
        size: float,
        distance_bps: float,
        symbol: Any = None,
        side: Any = None,
    ) -> None:
        """Limit orders at `times` that live `life_ms` and then are filled (a share of them) or cancelled."""
        count = len(times)
        if not count:
            return
        symbol = self.rng.integers(0, 2, count) if symbol is None else np.broadcast_to(symbol, count)
        side = self.rng.integers(0, 2, count) if side is None else np.broadcast_to(side, count)
        away = self.rng.exponential(distance_bps, count) / 1e4
        price = np.round(self.touch(symbol, side, times) * (1 + np.where(side == 0, -away, away)), 2)
        quantity = np.round(self.rng.lognormal(0, 0.4, count) * size / price, 6)
        orders = self.events.ids(count)
        ends = times + np.maximum(1, np.asarray(life_ms).astype(np.int64))
        body = {"symbol": symbol, "side": side, "price": price, "quantity": quantity, "order": orders, "created": times}
        self.events.add(times, user, NEW, **body)
        inside = ends < self.ms
        filled = inside & (self.rng.random(count) < fill_share)
        gone = inside & ~filled
        self.events.add(ends[gone], user, CANCEL, **{k: v[gone] for k, v in body.items()})
        self.trade(user, ends[filled], **{k: v[filled] for k, v in body.items()})

    def trade(self, maker: int, times: Any, other: Any = None, **body: Any) -> None:
        """The maker's order is filled; the taker (drawn from ordinary takers, or `other`) sends order and fill."""
        count = len(times)
        if not count:
            return
        if other is None:  # never oneself: venues prevent it, but for accidents
            drawn = self.rng.integers(0, len(self.takers), count)
            taker = self.takers[(drawn + (self.takers[drawn] == maker)) % len(self.takers)]
        else:
            taker = np.broadcast_to(other, count)
        trades = self.events.ids(count)
        self.events.add(times, maker, FILL, **(body | {"trade": trades, "other": taker}))
        take = body | {"order": self.events.ids(count), "side": 1 - body["side"], "created": times}
        self.events.add(times, taker, NEW, **take)
        self.events.add(times, taker, FILL, **(take | {"trade": trades, "other": maker}))

    def account(self, tier: str) -> int:
        """A new account of a tier; its id says nothing about it."""
        user = 10_000 + len(self.tiers) * 7 + self.seed % 5
        self.tiers[user] = tier
        return user

    def market_maker(self, user: int, end_s: float | None = None) -> None:
        """Quotes both sides all the time, cancels 95 to 99 %, a tenth of that within 100 ms."""
        times = self.moments(self.rng.uniform(0.8, 3.0), end_s=end_s)
        life = self.rng.lognormal(np.log(self.rng.uniform(500, 1500)), 1.2, len(times))
        for broken in self.moments(1 / 7200, end_s=end_s, calm=True):  # the venue cancels all, it is away for a while
            life = np.where((times < broken) & (times + life > broken), broken - times, life)
            kept = (times < broken) | (times > broken + self.rng.uniform(20_000, 120_000))
            times, life = times[kept], life[kept]
        self.quote(user, times, life, self.rng.uniform(0.01, 0.05), 3000, 2.0)
        self.bank(user, ((DEPOSIT, 1.0), (WITHDRAWAL, 1.0)), 20_000, 0.5, end_s)

    def bot(self, user: int, end_s: float | None = None) -> None:
        """Works orders for seconds; some begin late, lay out a grid now and then, or work a large order for minutes."""
        begin_s = self.rng.uniform(0, self.seconds / 2) if self.rng.random() < 0.1 else 0.0
        times = self.moments(self.rng.uniform(0.03, 0.3), begin_s, end_s)
        life = self.rng.lognormal(np.log(5000), 1.0, len(times))
        self.quote(user, times, life, self.rng.uniform(0.1, 0.4), 1500, 3.0)
        if self.rng.random() < 0.1:  # a grid that is laid out and taken down again
            for at in self.moments(1 / 1200, begin_s, end_s, calm=True):
                grid = at + np.sort(self.rng.uniform(0, 4000, 40)).astype(np.int64)
                self.quote(user, grid, at + self.rng.uniform(20_000, 50_000) - grid, 0.0, 300, 20.0)
        if self.rng.random() < 0.1:  # a large order in slices, each taken within seconds
            for at in self.moments(1 / 3600, begin_s, end_s, calm=True):
                slices = at + np.cumsum(self.rng.uniform(4000, 10_000, int(self.rng.uniform(60, 150)))).astype(np.int64)
                slices = slices[slices < (self.seconds if end_s is None else end_s) * 1000 - 4000]
                side = int(self.rng.integers(0, 2))
                self.quote(user, slices, self.rng.uniform(500, 3000, len(slices)), 0.9, 1000, 0.2, symbol=0, side=side)

    def retail(self, user: int, end_s: float | None = None) -> None:
        """A few orders; deposits, withdrawals and logins of ordinary sizes."""
        times = self.moments(self.rng.uniform(0.002, 0.02), end_s=end_s)
        self.quote(user, times, self.rng.lognormal(np.log(40_000), 1.0, len(times)), 0.5, 400, 8.0)
        self.bank(user, ((DEPOSIT, 3.0), (WITHDRAWAL, 1.5)), 400, 1.1, end_s)
        self.transfer(user, self.moments(8 / 86_400, end_s=end_s, calm=True), LOGIN, 0)
        for at in self.moments(0.5 / 86_400, end_s=end_s, calm=True):  # forgot the password, then takes some money out
            self.transfer(user, at + np.arange(int(self.rng.integers(1, 5))) * 4000, LOGIN_FAILED, 0)
            self.transfer(user, np.array([at + 30_000]), WITHDRAWAL, self.rng.lognormal(6, 1, 1))

    def bank(
        self, user: int, a_day: tuple[tuple[int, float], ...], median: float, spread: float, end_s: float | None
    ) -> None:
        """Deposits and withdrawals at daily rates, those of the week before included; log-normal amounts."""
        for action, rate in a_day:
            times = self.moments(rate / 86_400, -PAST_S, end_s, calm=True)
            self.transfer(user, times, action, self.rng.lognormal(np.log(median), spread, len(times)))

    def transfer(self, user: int, times: Ints, action: int, amount: Any) -> None:
        """Deposits, withdrawals (of USDT) and logins; `quantity` carries the amount."""
        self.events.add(times, user, action, quantity=np.round(amount, 2))

    # --- offenders

    def offend(self, kind: str, strength: str) -> None:
        """One offender: ordinary until its episode, then what its kind does, at its strength."""
        tier = {"price_fade": "market_maker", "withdrawal_velocity": "retail", "large_transfer": "retail"}.get(
            kind, "bot"
        )
        user = self.account(tier)
        begin = self.rng.uniform(150, max(151, self.seconds - 270))
        end = begin + 240
        level = STRENGTHS.index(strength)
        ordinary = {"market_maker": self.market_maker, "bot": self.bot, "retail": self.retail}[tier]
        ordinary(user, begin)
        getattr(self, kind)(user, begin, min(end, self.seconds - 1), level)
        self.labels.append(Label(kind, strength, str(user), begin, min(end, self.seconds - 1)))

    def aggressive_cancels(self, user: int, begin: float, end: float, level: int) -> None:
        """Flickers at the touch: orders that live 10 to 90 ms."""
        times = self.moments((5, 2.5, 0.8)[level], begin, end, calm=True)
        self.quote(user, times, self.rng.uniform(10, 90, len(times)), 0.005, 4000, 0.3)

    def order_velocity(self, user: int, begin: float, end: float, level: int) -> None:
        """Sends many times the usual number of orders of the usual kind."""
        times = self.moments((20, 8, 3)[level], begin, end, calm=True)
        self.quote(user, times, self.rng.lognormal(np.log(1500), 0.8, len(times)), 0.1, 800, 3.0)

    def excessive_executions(self, user: int, begin: float, end: float, level: int) -> None:
        """Trades every second or more often."""
        times = self.moments((4, 1.8, 0.5)[level], begin, end, calm=True)
        self.quote(user, times, self.rng.uniform(200, 1500, len(times)), 0.95, 600, 0.2)

    def order_to_trade(self, user: int, begin: float, end: float, level: int) -> None:
        """Places and cancels for minutes without a trade."""
        times = self.moments((6, 3, 0.8)[level], begin, end, calm=True)
        self.quote(user, times, self.rng.lognormal(np.log(1500), 0.6, len(times)), 0.0, 1000, 5.0)

    def quote_stuffing(self, user: int, begin: float, end: float, level: int) -> None:
        """Bursts of a second with dozens of orders that live a few ms."""
        for start in np.arange(begin, end, 7.0):
            times = np.sort(self.rng.uniform(start * 1000, start * 1000 + 900, (150, 60, 15)[level])).astype(np.int64)
            self.quote(user, times, self.rng.uniform(3, 40, len(times)), 0.0, 500, 10.0, symbol=0)

    def layering(self, user: int, begin: float, end: float, level: int) -> None:
        """Stacks one side over levels, sells into it or buys from it, pulls the stack."""
        levels, size = ((8, 20_000), (5, 5_000), (3, 1_500))[level]
        for start in np.arange(begin, end - 8, 15.0):
            symbol, side = int(self.rng.integers(0, 2)), int(self.rng.integers(0, 2))
            placed = (start * 1000 + np.sort(self.rng.uniform(0, 300, levels))).astype(np.int64)
            filled = int(start * 1000 + self.rng.uniform(1000, 3000))
            pulled = filled + self.rng.uniform(200, 1500) + np.arange(levels) * 5
            self.quote(user, placed, pulled - placed, 0.0, size, 4.0, symbol=symbol, side=side)
            self.quote(
                user, np.array([filled - 400]), [400], 1.0, (4000, 1500, 800)[level], 0.1, symbol=symbol, side=1 - side
            )

    def price_fade(self, user: int, begin: float, end: float, level: int) -> None:
        """Shows depth and pulls it 20 to 120 ms after a trade has taken from its side."""
        known = self.events.columns()
        makers = (known["action"] == FILL) & (known["created"] < known["time"])
        times = self.moments(1.8, begin, end, calm=True)
        for symbol in (0, 1):
            for side in (0, 1):
                mine = times[(np.arange(len(times)) % 4) == symbol * 2 + side]
                hits = np.sort(known["time"][makers & (known["symbol"] == symbol) & (known["side"] == side)])
                after = np.searchsorted(hits, mine + 20)
                following = np.where(after < len(hits), hits[np.minimum(after, len(hits) - 1)], mine + 5000)
                life = following - mine + self.rng.uniform(20, 120, len(mine))
                honest = self.rng.random(len(mine)) > (0.97, 0.85, 0.4)[level]
                life = np.where(honest, self.rng.lognormal(np.log(1000), 1.0, len(mine)), life)
                self.quote(user, mine, life, 0.01, 5000, 1.0, symbol=symbol, side=side)

    def self_trade(self, user: int, begin: float, end: float, level: int) -> None:
        """Trades with itself."""
        times = np.arange(begin, end, (8, 30, 110)[level]) * 1000 + self.rng.uniform(0, 3000)
        times = times[times < self.ms - 3000].astype(np.int64)
        orders = self.events.ids(len(times))
        price = np.round(self.mids[0, times // 100], 2)
        body = {"symbol": np.zeros(len(times), int), "side": np.zeros(len(times), int), "price": price}
        body |= {"quantity": np.full(len(times), 0.02), "order": orders, "created": times - 500}
        self.events.add(times - 500, user, NEW, **body)
        self.trade(user, times, other=user, **body)

    def withdrawal_velocity(self, user: int, begin: float, _: float, level: int) -> None:
        """Empties the account: many withdrawals, or one soon after a deposit, or after a guessed password."""
        way = int(self.rng.integers(0, 3))
        at = begin * 1000
        if way == 0:
            times = at + np.cumsum(self.rng.uniform(5000, 15_000, (14, 8, 3)[level]))
            self.transfer(user, times.astype(np.int64), WITHDRAWAL, self.rng.lognormal(7, 0.5, len(times)))
            return
        amount = (40_000.0, 6_000.0, 600.0)[level]
        if way == 1:
            self.transfer(user, np.array([at], dtype=np.int64), DEPOSIT, amount)
        else:
            fails = at + np.cumsum(self.rng.uniform(500, 3000, (20, 8, 4)[level]))
            self.transfer(user, fails.astype(np.int64), LOGIN_FAILED, 0)
            self.transfer(user, np.array([fails[-1] + 4000], dtype=np.int64), LOGIN, 0)
        self.transfer(user, np.array([at + 90_000], dtype=np.int64), WITHDRAWAL, amount * 0.98)

    def large_transfer(self, user: int, begin: float, _: float, level: int) -> None:
        """One transfer far above all others."""
        amount = (2_000_000.0, 250_000.0, 30_000.0)[level]
        action = DEPOSIT if self.rng.random() < 0.5 else WITHDRAWAL
        self.transfer(user, np.array([begin * 1000], dtype=np.int64), action, amount)

    def disturb(self, kind: str, strength: str, symbol: int, begin: int) -> None:
        """Something wrong with a book for twelve seconds."""
        level = STRENGTHS.index(strength)
        during = slice(begin, begin + 12)
        if kind == "spread_blowout":
            self.half_spread[symbol, during] *= (30, 12, 3)[level]
        elif kind == "liquidity_drop":
            self.depth[symbol, during] *= (0.05, 0.25, 0.6)[level]
        else:
            self.gaps.append((begin * 1000 + 300, symbol, "stale" if level == 0 else "crossed"))
        self.labels.append(Label(kind, strength, f"{VENUE}:{SYMBOLS[symbol]}", begin, begin + 12))

    # --- the whole

    def run(self) -> Market:
        """Everything that happens, in the order in which it arrives."""
        ordinary = [(tier, self.account(tier)) for tier, n in zip(TIERS, (40, 60, 110), strict=True) for _ in range(n)]
        self.takers = np.array([user for tier, user in ordinary if tier != "market_maker"])
        if self.offenders:  # the books first: quotes follow them
            slots = iter(self.rng.permutation(np.linspace(130, self.seconds - 40, len(BOOK_KINDS) * 3).astype(int)))
            for kind in BOOK_KINDS:
                for strength in STRENGTHS:
                    if (kind, strength) != ("feed_unhealthy", "weak"):
                        self.disturb(kind, strength, int(self.rng.integers(0, 2)), int(next(slots)))
        for tier, user in ordinary:
            getattr(self, tier)(user)
        accident = self.moments(0.3 / 3600, calm=True)  # two strategies of one owner meet
        for at in accident:
            self.self_trade(int(self.rng.choice(self.takers)), at / 1000, at / 1000 + 1, 2)
        if self.offenders:
            for kind in ACCOUNT_KINDS:
                for strength in STRENGTHS:
                    self.offend(kind, strength)
        actions = self.events.columns()
        return Market(
            self.seed,
            self.seconds,
            self.deliver(actions),
            self.public_trades(actions),
            self.books(),
            self.labels,
            self.tiers,
        )

    def deliver(self, events: dict[str, Any]) -> dict[str, Any]:
        """The network: 30 ms usually, 2 % up to 5 s late, 1 % delivered twice; the past is there already."""
        keep = events["time"] < self.ms
        events = {c: v[keep] for c, v in events.items()}
        count = len(events["time"])
        events["event"] = np.arange(count)
        delay = self.rng.exponential(30, count)
        late = self.rng.random(count) < 0.02
        delay[late] += self.rng.uniform(0, 5000, int(late.sum()))
        twice = np.flatnonzero(self.rng.random(count) < 0.01)
        arrival = np.where(events["time"] < 0, -1, events["time"] + delay)
        arrival = np.concatenate([arrival, np.where(events["time"] < 0, -1, arrival + 2000)[twice]])
        events = {c: np.concatenate([v, v[twice]]) for c, v in events.items()}
        order = np.argsort(arrival, kind="stable")
        return {c: v[order] for c, v in events.items()} | {"arrival": arrival[order].astype(np.int64)}

    def public_trades(self, events: dict[str, Any]) -> dict[str, Any]:
        """One row a trade, with the taker's side."""
        takers = (events["action"] == FILL) & (events["created"] == events["time"])
        takers &= (events["time"] >= 0) & (events["time"] < self.ms)
        rows = {c: events[c][takers] for c in ("time", "symbol", "trade", "side", "price", "quantity")}
        order = np.argsort(rows["time"], kind="stable")
        rows = {c: v[order] for c, v in rows.items()}
        return rows | {"arrival": rows["time"] + 5}

    def books(self) -> dict[str, Any]:
        """One row a symbol and second: touch, five levels, depth within 5, 10 and 25 bps; and the gaps."""
        second = np.repeat(np.arange(self.seconds), 2)
        symbol = np.tile(np.array((0, 1)), self.seconds)
        return {
            "time": second * 1000 + 50,
            "arrival": second * 1000 + 60,
            "symbol": symbol,
            "bid": self.touch(symbol, 0, second * 1000),
            "ask": self.touch(symbol, 1, second * 1000),
            "depth": self.depth[symbol, second],
            "gaps": list(self.gaps),
        }


def simulate(seed: int, minutes: float, offenders: bool = True) -> Market:
    """One run of the venue; equal arguments give equal results."""
    return Venue(seed, minutes, offenders).run()
