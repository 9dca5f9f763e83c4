"""A backtest to look at: time lines in the terminal, or a picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chctl.backtest import Alert, Backtest


def show(result: Backtest, width: int = 72) -> str:
    """The two sets of alerts as time lines and as a list."""
    span = (result.until - result.since).total_seconds()
    lines = [
        f"{result.rule}: {result.since:%Y-%m-%d %H:%M} to {result.until:%Y-%m-%d %H:%M} UTC, {result.rows:,} rows,"
        f" {result.seconds:.1f} s" + "".join(f", {k}={v:g}" for k, v in result.parameters.items())
    ]
    for name in names(result):
        lines.append(name)
        for label, alerts in (("live", result.live), ("edited", result.edited)):
            bar = ["·"] * width
            begun = spans(result, alerts, name)
            for begin, end in begun:
                first = int(max(0.0, (begin - result.since).total_seconds()) / span * width)
                last = int((end - result.since).total_seconds() / span * width)
                for i in range(min(first, width - 1), min(max(last, first), width - 1) + 1):
                    bar[i] = "█"
            lines.append(f"  {label:<7}{''.join(bar)} {len(begun)}")
    ours, theirs = ({a.alert_id: a for a in alerts if a.status == "firing"} for alerts in (result.edited, result.live))
    for label, ids in (
        ("only live", theirs.keys() - ours.keys()),
        ("only edited", ours.keys() - theirs.keys()),
        ("both", ours.keys() & theirs.keys()),
    ):
        found = sorted(((ours.get(i) or theirs[i]) for i in ids), key=lambda a: a.started_time)
        lines.append(f"{label}: {len(found)}")
        lines += [f"  {a.started_time} {a.summary}" for a in found]
    return "\n".join(lines)


def names(result: Backtest) -> list[str]:
    """What the lines are called: entities, with the rule where the file makes several."""
    return sorted({_name(result, a) for a in (*result.live, *result.edited)})


def _name(result: Backtest, alert: Alert) -> str:
    return alert.entity if alert.rule == result.rule else f"{alert.entity} {alert.rule}"


def spans(result: Backtest, alerts: list[Alert], name: str) -> list[tuple[datetime, datetime]]:
    """When the line of that name was in alarm: from each start to its end, or to the window's where it has none."""
    ends = {a.alert_id: _moment(a.event_time) for a in alerts if a.status == "resolved"}
    return [
        (_moment(a.started_time), ends.get(a.alert_id, result.until))
        for a in alerts
        if a.status == "firing" and _name(result, a) == name
    ]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plot(result: Backtest, path: Path) -> None:
    """Write both time lines as a PNG, an entity and rule a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import dates
    from matplotlib import pyplot as plt

    rows = names(result) or ["no alerts"]
    figure, axes = plt.subplots(figsize=(11, 1.5 + 0.7 * len(rows)), layout="constrained")
    number: Any = dates.date2num
    for row, name in enumerate(rows):
        for offset, colour, alerts in ((0.2, "tab:grey", result.live), (-0.2, "tab:red", result.edited)):
            bars = [(number(a), max(number(b) - number(a), 1e-5)) for a, b in spans(result, alerts, name)]
            axes.broken_barh(bars, (row + offset - 0.18, 0.36), facecolors=colour, edgecolor=colour)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(number(result.since), number(result.until))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    changed = ", ".join(f"{k}={v:g}" for k, v in result.parameters.items())
    axes.set_title(f"{result.rule}: live (grey) and edited (red){': ' + changed if changed else ''}, UTC", loc="left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
