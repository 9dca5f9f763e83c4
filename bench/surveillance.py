"""Precision, recall and time to alert of every rule on simulated markets, and whether it stays quiet on a recording.

Each seed is a market of 210 ordinary accounts and three offenders of each kind (strong, moderate, weak), with late,
out-of-order and duplicated events, replayed block by block through the project's SQL in-process. The seeds of tuning
are below 4000 and from 5001 to 6999; this uses others. Then ordinary accounts alone, two hours a seed, a whole day by
default: that is where false alerts are counted, beside those of the seeds with offenders. At last the order-by-order
Independent Reserve recording, in which practically every order is cancelled, with the thresholds as shipped: each of
its books, for it has no accounts, is given one; once as it is, and once repeated to ten minutes, so that the rules
know what is usual in it.

    python bench/surveillance.py [--seeds 20] [--minutes 10] [--block-seconds 30] [--ordinary-hours 24] [--json]

A day of ordinary accounts is 19 million order events and takes half an hour of CPU. Goals: recall at least 0.95 on
strong and 0.8 on moderate offenders; at most one false alert a rule and simulated day. Weak offenders show where a rule
ends; they have no goal. An alert of another rule about an offender is not false.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from chctl.simulate import judge
from chctl.simulate.engine import Engine
from chctl.simulate.venue import simulate

FIRST_SEED = 4001
FIRST_ORDINARY_SEED = 7001
ORDINARY_MINUTES = 120.0
ORDINARY_BLOCK_S = 120.0
#: The recording is half a minute long; so often it is repeated.
REPEATS = 20
CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", Path(__file__).parents[2] / "shared" / "data"))


def start_of(minutes: float) -> int:
    """A start (ms) that lets the run end shortly before now, so that no row is past its TTL."""
    return (int(time.time() * 1000) - int(minutes * 60_000) - 10_000) // 60_000 * 60_000


def run(engine: Engine, seed: int, minutes: float, block_s: float, offenders: bool = True) -> dict[str, Any]:
    """One seed: outcomes by (kind, strength), false alerts, rows a second."""
    market, start = simulate(seed, minutes, offenders), start_of(minutes)
    judge.empty(engine)
    steps = list(judge.replay(engine, market, start, int(block_s * 1000)))
    outcomes, false = judge.score(market, judge.read_alerts(engine), start)
    return {
        "seed": seed,
        "minutes": minutes,
        "rows": sum(count for count, _ in steps),
        "seconds": round(sum(seconds for _, seconds in steps), 1),
        "outcomes": [(o.kind, o.strength, o.caught, o.after_s) for o in outcomes],
        "false": [(alert["rule"], alert["summary"]) for alert in false],
    }


def recording(engine: Engine, repeats: int) -> dict[str, Any] | None:
    """The Independent Reserve recording as order events of one account a book, `repeats` times; which rules fired."""
    files = sorted((CAPTURES / "independent_reserve").glob("*.jsonl*")) if CAPTURES.exists() else []
    if not files:
        return None
    once = order_events(files[0])
    length = max(row["event_time"] for row in once) - min(row["order_time"] for row in once) + 1000
    rows = [
        row
        | {"event_id": f"{row['event_id']}-{turn}", "order_id": row["order_id"] + turn}
        | {name: row[name] + turn * length for name in ("event_time", "order_time")}
        for turn in range(repeats)
        for row in once
    ]
    shift = int(time.time() * 1000) - rows[-1]["event_time"] - 10_000
    judge.empty(engine)
    engine.reload()
    ms = pa.timestamp("ms", "UTC")
    for at in range(0, len(rows), 100):
        part = rows[at : at + 100]
        columns: dict[str, Any] = {name: pa.array([row[name] for row in part]) for name in part[0]}
        for name in ("event_time", "order_time"):
            columns[name] = pa.array([row[name] + shift for row in part], ms)
        for name in ("user_id", "order_id"):
            columns[name] = columns[name].cast(pa.uint64())
        engine.insert("user_actions_landing", pa.table(columns))
        engine.reload()
    alerts = judge.read_alerts(engine)
    seconds = round((rows[-1]["event_time"] - rows[0]["event_time"]) / 1000)
    return {"events": len(rows), "seconds": seconds, "alerts": sorted({a["rule"] for a in alerts})}


def order_events(path: Path) -> list[dict[str, Any]]:
    """NewOrder and OrderCanceled of the recording as rows of user_actions; a book stands for one account."""
    created: dict[str, dict[str, Any]] = {}
    books: dict[str, int] = {}
    rows = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        frame = json.loads(line)
        if frame.get("t") != "recv":
            continue
        message = json.loads(frame["data"])
        data, event = message.get("Data"), message.get("Event")
        if event not in ("NewOrder", "OrderCanceled") or not isinstance(data, dict):
            continue
        guid = data["OrderGuid"]
        book = message.get("Channel", "").removeprefix("orderbook-") or data.get("Pair", "")
        at = message.get("Time") or frame["ts"]
        when = int(at if isinstance(at, int | float) and at > 1e11 else float(at) * 1000)
        if event == "NewOrder":
            price = data["Price"]
            value = float(next(iter(price.values())) if isinstance(price, dict) else price)
            created[guid] = {"time": when, "price": value, "quantity": float(data["Volume"]), "side": data["OrderType"]}
        known = created.get(guid)
        if known is None:
            continue
        rows.append(
            {
                "event_id": f"{event}-{guid}",
                "event_time": when,
                "order_time": known["time"],
                "user_id": books.setdefault(book, len(books) + 1),
                "user_tier": "",
                "action": "new" if event == "NewOrder" else "cancel",
                "venue": "independent_reserve",
                "symbol": book,
                "order_id": int(guid.replace("-", "")[:15], 16),
                "side": "BUY" if "Bid" in known["side"] else "SELL",
                "type": "limit",
                "price": known["price"],
                "quantity": known["quantity"],
            }
        )
    return rows


def table(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a rule: recall and median time to alert by strength, false alerts, precision."""
    days = max(1e-9, sum(result["minutes"] for result in results) / 1440)
    found: dict[str, dict[str, list[Any]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        for kind, strength, caught, after in result["outcomes"]:
            found[kind][strength].append((caught, after))
    # Precision is of the markets with offenders: of ordinary accounts alone every alert is false.
    mixed = collections.Counter(rule for result in results if result["outcomes"] for rule, _ in result["false"])
    false = collections.Counter(rule for result in results for rule, _ in result["false"])
    lines = []
    for kind in sorted(set(found) | set(false)):
        line: dict[str, Any] = {"rule": kind}
        for strength in ("strong", "moderate", "weak"):
            seen = found[kind][strength]
            if seen:
                line[f"recall_{strength}"] = round(sum(caught for caught, _ in seen) / len(seen), 3)
                times = [after for _, after in seen if after is not None]
                line[f"seconds_{strength}"] = round(statistics.median(times), 1) if times else None
        caught = sum(c for seen in found[kind].values() for c, _ in seen)
        line["false"] = false[kind]
        line["false_a_day"] = round(false[kind] / days, 2)
        line["precision"] = round(caught / (caught + mixed[kind]), 3) if caught + mixed[kind] else None
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--block-seconds", type=float, default=30)
    parser.add_argument("--ordinary-hours", type=float, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engine = Engine()
    for rule in engine.rows("SELECT DISTINCT rule FROM alert_rules"):
        engine.threshold(rule["rule"], "max_age_s", 1e9)
    ordinary = round(options.ordinary_hours * 60 / ORDINARY_MINUTES)
    markets = [(FIRST_SEED + n, options.minutes, options.block_seconds, True) for n in range(options.seeds)]
    markets += [(FIRST_ORDINARY_SEED + n, ORDINARY_MINUTES, ORDINARY_BLOCK_S, False) for n in range(ordinary)]
    results = []
    for market in markets:
        results.append(run(engine, *market))
        seed, last = market[0], results[-1]
        print(
            f"{dt.datetime.now(dt.UTC):%H:%M:%S} seed {seed}: {last['rows']:,} rows, {last['seconds']} s, "
            f"{len(last['false'])} false",
            file=sys.stderr,
            flush=True,
        )
        for rule, summary in last["false"]:
            print(f"  false {rule}: {summary}", file=sys.stderr, flush=True)
    heard = [recording(engine, repeats) for repeats in (1, REPEATS)]
    lines = table(results)
    days = sum(result["minutes"] for result in results) / 1440
    if options.json:
        print(json.dumps({"seeds": options.seeds, "days": round(days, 3), "rules": lines, "recording": heard}))
        return
    print(
        f"{options.seeds} seeds of {options.minutes:.0f} min with offenders, {ordinary} of {ORDINARY_MINUTES:.0f} min "
        f"without, 210 ordinary accounts: {days:.2f} days"
    )
    names = (
        "recall_strong",
        "seconds_strong",
        "recall_moderate",
        "seconds_moderate",
        "recall_weak",
        "false",
        "false_a_day",
        "precision",
    )
    print(f"{'rule':22}" + "".join(f"{name.replace('_', ' '):>18}" for name in names))
    for line in lines:
        print(f"{line['rule']:22}" + "".join(f"{line.get(name, '')!s:>18}" for name in names))
    for once in heard:
        print(f"Independent Reserve recording: {once or 'not here: set CHCTL_CAPTURES'}")


if __name__ == "__main__":
    main()
