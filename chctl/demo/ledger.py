"""The ledger that ends a demo: what was produced, stored, rejected, raised and delivered, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client
from rich.table import Table

#: Where the rows of a topic end up, each counted once however often it was delivered.
STORED = {
    "market_l2": "SELECT count() FROM book_deltas FINAL",
    "market_trades": "SELECT count() FROM trades FINAL",
}


@dataclass(frozen=True)
class Stream:
    """Rows of one topic. Every produced row must be stored or rejected."""

    topic: str
    produced: int
    stored: int
    rejected: int

    @property
    def difference(self) -> int:
        """Rows unaccounted for: positive when lost, negative when doubled."""
        return self.produced - self.stored - self.rejected


@dataclass(frozen=True)
class Alerts:
    """Alert messages (firing and resolved each count). Each must arrive, and arrive once."""

    raised: frozenset[tuple[str, str]]
    delivered: tuple[tuple[str, str], ...]

    @property
    def missing(self) -> int:
        """Raised and not delivered."""
        return len(self.raised - set(self.delivered))

    @property
    def extra(self) -> int:
        """Delivered twice, or never raised."""
        return len(self.delivered) - len(self.raised & set(self.delivered))


@dataclass(frozen=True)
class Ledger:
    """The account of one run."""

    streams: list[Stream]
    alerts: Alerts
    unnoticed: list[str] = field(default_factory=list)  # incidents no alert was raised for

    @property
    def balances(self) -> bool:
        """Nothing lost, nothing doubled, no incident unnoticed."""
        even = all(stream.difference == 0 and stream.produced > 0 for stream in self.streams)
        return even and not (self.alerts.missing or self.alerts.extra or self.unnoticed)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "balances": self.balances,
            "streams": {s.topic: {**asdict(s), "difference": s.difference} for s in self.streams},
            "alerts": {
                "raised": len(self.alerts.raised),
                "delivered": len(self.alerts.delivered),
                "missing": self.alerts.missing,
                "extra": self.alerts.extra,
                "situations": len({alert_id for alert_id, _status in self.alerts.raised}),
            },
            "unnoticed": self.unnoticed,
        }

    def table(self) -> Table:
        """For a person; differences in red."""
        table = Table(title="ledger", title_justify="left", caption=self._verdict(), caption_justify="left")
        for heading in ("", "produced", "stored", "rejected", "difference"):
            table.add_column(heading, justify="left" if not heading else "right")
        for s in self.streams:
            table.add_row(s.topic, f"{s.produced:,}", f"{s.stored:,}", f"{s.rejected:,}", _marked(s.difference))
        table.add_section()
        table.add_row("", "[bold]raised", "[bold]delivered", "[bold]extra", "[bold]missing")
        alerts = self.alerts
        table.add_row(
            "alerts",
            str(len(alerts.raised)),
            str(len(alerts.delivered)),
            _marked(alerts.extra),
            _marked(alerts.missing),
        )
        return table

    def _verdict(self) -> str:
        if self.balances:
            return "[green]balances: every row is accounted for, every alert was delivered once"
        return "[bold red]does not balance" + "".join(f"; no alert for {incident}" for incident in self.unnoticed)


def _marked(difference: int) -> str:
    return f"[bold red]{difference:+,}" if difference else "0"


def streams(client: Client, produced: Mapping[str, int]) -> list[Stream]:
    """What the node holds of each topic beside what was produced."""
    counts = client.query("SELECT topic, count() FROM rejected_events FINAL GROUP BY topic").result_rows
    rejected: dict[str, int] = dict(tuple(row) for row in counts)
    return [
        Stream(topic, produced.get(topic, 0), client.query(sql).result_rows[0][0], rejected.get(topic, 0))
        for topic, sql in STORED.items()
    ]
