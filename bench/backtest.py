"""`chctl backtest` over a day of stored history, beside the time that the node took to store the same rows.

A node of its own gets a day of books, one a second and symbol, with incidents, or a day of orders, eight events a
second by forty accounts, one of which sends 200 a second for a while; then the command runs as a DBA runs it, over an
hour and over the day, with the rule as it is: one that writes alerts itself, or one that compares with what is usual.

    python bench/backtest.py [--of books|orders] [--symbols 3] [--hours 24] [--json]

Goal: within seconds for a day of data; nothing on the node changes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chctl.clickhouse import connect
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import start_process
from chctl.settings import PROJECT_DIR, Settings

RULES = {"books": "views/alerts/alert_liquidity_drop_mv.sql", "orders": "views/alerts/alert_orders_mv.sql"}
#: Twice an hour, each symbol's bids within 10 bps vanish for half a minute, or an account sends a burst of orders.
INCIDENT_S, BURST_S = 1800, 20


def fill_orders(client: Client, hours: int) -> float:
    """Store the history, ten minutes a block; seconds it took. An order is cancelled or filled after five seconds."""
    began = time.monotonic()
    now = int(time.time())
    into = (
        "INSERT INTO user_actions_landing (event_id, event_time, receive_time, user_id, user_tier, action, venue,"
        " symbol, order_id, side, type, price, quantity, filled_quantity, status, reject_reason)"
    )
    rest = "'bench', 'BTCUSDT', order, if(order % 2, 'BUY', 'SELL'), 'limit', 60000., 1., 0., '', ''"
    for start in range(now - hours * 3600, now, 600):
        client.command(
            f"{into} WITH {start} + intDiv(number, 8) AS t, number % 8 > 3 AS ends,"
            " toUInt64((t - if(ends, 5, 0)) * 4 + number % 4) AS order, 1 + order % 40 AS account,"
            " multiIf(NOT ends, 'new', account % 5 = 0, 'fill', 'cancel') AS action,"
            " toDateTime64(t, 3, 'UTC') + INTERVAL 100 * (number % 8) MILLISECOND AS at"
            f" SELECT concat(toString(order), action), at, at, account, 'retail', action, {rest} FROM numbers(4800)"
        )
        client.command(
            f"{into} WITH {start} + intDiv(number, 200) AS t,"
            " toUInt64(intDiv(t * 200 + number % 200, 2) + 1000000000000) AS order,"
            " if(number % 2, 'cancel', 'new') AS action,"
            " toDateTime64(t, 3, 'UTC') + INTERVAL 5 * (number % 200) MILLISECOND AS at"
            f" SELECT concat(toString(order), action), at, at, 1, 'retail', action, {rest}"
            f" FROM numbers(120000) WHERE t % {INCIDENT_S} < {BURST_S}"
        )
    return time.monotonic() - began


def fill_books(client: Client, hours: int, symbols: int) -> float:
    """Store the history, ten minutes a block; seconds it took."""
    began = time.monotonic()
    now = int(time.time())
    for start in range(now - hours * 3600, now, 600):
        client.command(
            "INSERT INTO market_l2_landing (venue, symbol, update_type, window_start, event_time, last_seq,"
            " price_scale, bid_ticks, bid_lots, ask_ticks, ask_lots, depth_bps, bid_depth, ask_depth)"
            f" WITH {start} + intDiv(number, {symbols}) AS t"
            f" SELECT 'bench', concat('S', toString(number % {symbols})), 'delta', toDateTime64(t, 3, 'UTC'),"
            " toDateTime64(t, 3, 'UTC'), t, 2, [6000000], [10], [6000100], [10], [5, 10, 25],"
            f" if(t % {INCIDENT_S} < 30, [0., 0., 1.], [5., 10., 25.]), [5., 10., 25.]"
            f" FROM numbers({600 * symbols})"
        )
    return time.monotonic() - began


def run(settings: Settings, rule: str, since: str) -> dict[str, Any]:
    """Run the command as a process; its figures."""
    environment = os.environ | {
        "CHCTL_PROJECT_DIR": str(settings.project_dir),
        "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
    }
    began = time.monotonic()
    command = [sys.executable, "-m", "cli", "backtest", str(settings.project_dir / rule), "--json", "--since", since]
    done = subprocess.run(command, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    fired = sum(alert["status"] == "firing" for alert in result["edited"])
    return {"since": since, "rows": result["rows"], "fired": fired, "seconds": round(time.monotonic() - began, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=RULES, default="books")
    parser.add_argument("--symbols", type=int, default=3)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("migrations", "views"):  # without the ends that read and write Kafka
            ends = shutil.ignore_patterns("ingest", "to_kafka_*") if part == "views" else None
            shutil.copytree(PROJECT_DIR / part, folder / "project" / part, ignore=ends)
        process = start_process(folder / "data")
        try:
            settings = process.settings(project_dir=folder / "project")
            migrate(settings)
            with connect(settings) as client:
                books = options.of == "books"
                hours = options.hours + 1
                took = fill_books(client, hours, options.symbols) if books else fill_orders(client, hours)
                table = "book_topn" if books else "user_orders"
                rows = client.query(f"SELECT count() FROM {table}").result_rows[0][0]
            results: dict[str, Any] = {"stored_seconds": round(took, 2), "table": table, "rows": rows}
            results["runs"] = [run(settings, RULES[options.of], since) for since in ("1h", f"{options.hours}h")]
        finally:
            process.stop()
            broker.stop(folder / "data")
    if options.json:
        print(json.dumps(results))
        return
    stored = results["stored_seconds"]
    print(f"stored {results['rows']:,} rows of {results['table']} in {stored} s")
    for line in results["runs"]:
        ratio = line["seconds"] / stored
        print(f"backtest --since {line['since']}: {line['rows']:,} rows, {line['fired']} alerts,", end=" ")
        print(f"{line['seconds']} s, {ratio:.2f} of the time it took to store the whole")


if __name__ == "__main__":
    main()
