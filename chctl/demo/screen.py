"""What the demo shows while it runs: streams, books, alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chctl.demo.ledger import Stream, streams

BOOKS = """
SELECT
    concat(venue, ':', symbol) AS book,
    argMax(best_bid, second) AS bid,
    argMax(best_ask, second) AS ask,
    argMax(max_spread_bps, second) AS spread,
    argMax(bids_within[10], second) AS bids,
    argMax(asks_within[10], second) AS asks
FROM dash_liquidity
WHERE mapContains(bids_within, 10)
GROUP BY book
ORDER BY book
"""
MOOD = """
SELECT
    symbol,
    count() AS posts,
    avg(sentiment_score) AS mood
FROM dash_posts
WHERE (event_time > (now64(3) - 15)) AND (symbol != '')
GROUP BY symbol
ORDER BY symbol
"""
ALERTS = """
SELECT event_time, severity, status, summary
FROM alerts FINAL
WHERE rule != 'heartbeat'
ORDER BY raised_time DESC
LIMIT 8
"""
LAG = """
SELECT quantile(0.5)(dateDiff('millisecond', receive_time, ingest_time))
FROM trades
WHERE ingest_time > now64(3) - 5
"""


@dataclass
class View:
    """What was read from the node at one moment."""

    streams: list[Stream] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    books: Sequence[Sequence[Any]] = ()
    alerts: Sequence[Sequence[Any]] = ()
    mood: Sequence[Sequence[Any]] = ()
    lag_ms: float = float("nan")


def read(client: Client, produced: Mapping[str, int], before: View | None, seconds: float) -> View:
    """Ask the node; rates are stored rows a second since `before`, `seconds` ago."""
    view = View(streams(client, produced))
    if before and seconds > 0:
        was = {stream.topic: stream.stored for stream in before.streams}
        view.rates = {s.topic: (s.stored - was.get(s.topic, 0)) / seconds for s in view.streams}
    view.books = client.query(BOOKS).result_rows
    view.mood = client.query(MOOD).result_rows
    view.alerts = client.query(ALERTS).result_rows
    view.lag_ms = client.query(LAG).result_rows[0][0]
    return view


def render(view: View, title: str, done: float, delivered: int, live: bool) -> RenderableType:
    """One frame. `done` is the share of the time that has passed; `live` whether lag in time means anything."""
    table = Table(expand=True, box=None)
    for heading in ("stream", "produced", "stored", "rejected", "on the way", "rows/s"):
        table.add_column(heading, justify="left" if heading == "stream" else "right")
    for s in view.streams:
        table.add_row(
            s.topic,
            f"{s.produced:,}",
            f"{s.stored:,}",
            f"{s.rejected:,}",
            f"{max(s.difference, 0):,}",
            f"{view.rates.get(s.topic, 0):,.0f}",
        )
    books = Table(expand=True, box=None)
    for heading in ("book", "bid", "ask", "spread bps", "bids in 10 bps", "asks in 10 bps"):
        books.add_column(heading, justify="left" if heading == "book" else "right")
    for name, bid, ask, spread, bids, asks in view.books:
        books.add_row(name, f"{bid:,.2f}", f"{ask:,.2f}", f"{spread:.2f}", f"{bids:,.3f}", f"{asks:,.3f}")
    mood = Text("   ").join(_mood(*row) for row in view.mood) if view.mood else Text("none yet", style="dim")
    alerts = [
        Text(f"{time:%H:%M:%S} {status:<8} {summary}", style="red" if status == "firing" else "green")
        for time, _severity, status, summary in view.alerts
    ] or [Text("none yet", style="dim")]
    lag = f"   {view.lag_ms:.0f} ms from receipt to table" if live and view.lag_ms == view.lag_ms else ""
    return Group(
        Panel(Text(title, style="bold yellow"), subtitle=f"delivered to the webhook: {delivered}{lag}"),
        Panel(table, title="streams", title_align="left"),
        Panel(books, title="books", title_align="left"),
        Panel(mood, title="sentiment of the last 15 s, simulated posts", title_align="left"),
        Panel(Group(*alerts), title="alerts", title_align="left"),
        ProgressBar(total=1, completed=min(done, 1)),
    )


def _mood(symbol: str, posts: int, mood: float) -> Text:
    """A bar from -1 to 1."""
    width = round(abs(mood) * 8)
    bar = "█" * width if width else "·"
    style = "green" if mood > 0.05 else "red" if mood < -0.05 else "dim"
    return Text.assemble(f"{symbol} ", (f"{mood:+.2f} {bar:<8}", style), f" {posts:>3} posts")
