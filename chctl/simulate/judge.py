"""Run a simulated market through the project's SQL, block by block as it would arrive, and score the alerts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chctl.simulate import rows
from chctl.simulate.engine import Engine
from chctl.simulate.venue import VENUE, Label, Market

#: Tables that a run fills; emptied between runs of one engine.
FILLED = (
    *("user_orders", "order_flow_1s", "order_watch", "order_baseline_1m", "user_transfers", "user_logins"),
    *("transfers_1m", "alert_signals", "alerts", "trades", "trades_1s", "book_topn", "book_deltas", "liquidity_1s"),
    *("event_clock", "rejected_events"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one label, or of nobody's: `after_s` is seconds from the episode's beginning to the alert."""

    kind: str
    strength: str
    caught: bool
    after_s: float | None


def empty(engine: Engine) -> None:
    """Forget the last run."""
    for table in FILLED:
        engine.run(f"TRUNCATE TABLE {table}")


def replay(engine: Engine, market: Market, start_ms: int, block_ms: int) -> Iterator[tuple[int, float]]:
    """Insert everything in blocks of `block_ms` of arrival; yield (rows of user actions, seconds taken) a block.

    The first block is what lies in the past.
    """
    streams = (
        ("market_l2_landing", rows.market_l2(market, start_ms), None),
        ("market_trades_landing", rows.market_trades(market, start_ms), market.trades["arrival"]),
        ("user_actions_landing", rows.user_actions(market, start_ms), market.actions["arrival"]),
    )
    cuts = np.concatenate([[-1], np.arange(0, market.seconds * 1000 + 8000 + block_ms, block_ms)])
    edges = []
    for _, table, arrival in streams:
        if arrival is None:
            arrival = np.array(table["event_time"].cast("int64")) - start_ms
        edges.append(np.searchsorted(arrival, cuts))
    for block in range(len(cuts) - 1):
        started = time.perf_counter()
        count = 0
        for (name, table, _), edge in zip(streams, edges, strict=True):
            part = table.slice(edge[block], edge[block + 1] - edge[block])
            if part.num_rows:
                engine.insert(name, part.combine_chunks())
                count = part.num_rows
        yield count, time.perf_counter() - started
        engine.reload()


def score(market: Market, alerts: list[dict[str, Any]], start_ms: int) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Outcomes of all labels, and the alerts that are false: about ordinary accounts or books with nothing wrong.

    An alert of another rule about an offender during its episode (a stuffer is fast, too) is neither, nor is one about
    the week before the start.
    """
    alerts = [alert for alert in alerts if alert["fired_ms"] >= start_ms]
    outcomes = []
    for label in market.labels:
        times = [
            (alert["started_ms"] - start_ms) / 1000
            for alert in alerts
            if alert["status"] == "firing" and alert["rule"] == label.kind and about(alert, label)
        ]
        fired = [alert["fired_ms"] for alert in alerts if alert["rule"] == label.kind and about(alert, label)]
        in_time = [f for f in fired if label.begins_s - 1 <= (f - start_ms) / 1000 <= label.ends_s + 60]
        after = (min(in_time) - start_ms) / 1000 - label.begins_s if in_time and times else None
        outcomes.append(Outcome(label.kind, label.strength, bool(in_time), after))
    guilty = {label.entity for label in market.labels}
    false = [
        alert
        for alert in alerts
        if alert["status"] == "firing"
        and not (
            str(alert["user_id"]) in guilty
            or any(
                label.entity == alert["entity"]
                and label.begins_s - 2 <= (alert["fired_ms"] - start_ms) / 1000 <= label.ends_s + 15
                for label in market.labels
            )
        )
    ]
    return outcomes, false


def about(alert: dict[str, Any], label: Label) -> bool:
    """Whether the alert is about the label's account or book."""
    if label.entity.startswith(f"{VENUE}:"):
        return bool(alert["entity"] == label.entity)
    return str(alert["user_id"]) == label.entity


def read_alerts(engine: Engine) -> list[dict[str, Any]]:
    """The alerts of a run; times in ms."""
    return engine.rows(
        "SELECT rule, status, entity, user_id, toUnixTimestamp64Milli(started_time) AS started_ms,"
        " toUnixTimestamp64Milli(event_time) AS fired_ms, value, baseline, threshold, summary, evidence"
        " FROM alerts FINAL WHERE status = 'firing' ORDER BY event_time"
    )
