"""What a block of each stream costs to insert beside ten times the history: no view may read more than its window.

A node of its own gets ten days of forty books, accounts and authors, older than two hours; then blocks of now are
inserted into each stream's landing table, with every view behind it, and timed; then ten days of 360 others are added,
and the same again. The windows of those in the block hold what they held, but for what peers do.

    python bench/flatness.py [--rows 2000] [--blocks 15] [--json]

Figures are the median of `--blocks` inserts of 200 rows, in ms, and their ratio. `--rows` is the history of a day and
stream. Goal: a ratio of at most 1.2.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from clickhouse_connect.driver.client import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chctl.clickhouse import connect
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import start_process
from chctl.settings import PROJECT_DIR

BLOCK = 200
DAYS = 10
KNOWN = 40
#: Stream -> (landing table and columns, what is selected of `t`, a second, `n`, a number that grows with it, and `e`,
#: which book, account or author it is).
STREAMS = {
    "books": (
        "market_l2_landing (venue, symbol, update_type, window_start, event_time, last_seq, price_scale, bid_ticks,"
        " bid_lots, ask_ticks, ask_lots, depth_bps, bid_depth, ask_depth)",
        "'bench', concat('S', toString(e)), 'delta', at, at, n, 2, [6000000], [10], [6000100], [10], [5, 10, 25],"
        " [5., 10., 25.], [5., 10., 25.]",
    ),
    "trades": (
        "market_trades_landing (venue, symbol, trade_id, event_time, receive_time, price, quantity, side, taker,"
        " order_id, reject_reason)",
        "'bench', concat('S', toString(e)), n, at, at, 60000., 0.5, if(n % 2, 'BUY', 'SELL'), true, 0, ''",
    ),
    "orders": (
        "user_actions_landing (event_id, event_time, receive_time, user_id, user_tier, action, venue, symbol, order_id,"
        " side, type, price, quantity, filled_quantity, status, reject_reason)",
        "concat('order ', toString(n)), at, at, 1 + e, 'retail', if(n % 2, 'cancel', 'new'), 'bench',"
        " 'S1', intDiv(n, 2), 'BUY', 'limit', 60000., 1., 0., '', ''",
    ),
    "transfers": (
        "user_actions_landing (event_id, event_time, receive_time, user_id, user_tier, action, venue, symbol, asset,"
        " amount, status, reject_reason)",
        "concat('transfer ', toString(n)), at, at, 1 + e, 'retail', if(n % 2, 'deposit', 'withdrawal'), 'bench',"
        " '', 'BTC', if(n % 100, 0.001, 5.), 'completed', ''",  # most are too small to be compared with anything
    ),
    "posts": (
        "social_processed_landing (event_id, event_time, processed_time, source, symbols, language, text, text_hash,"
        " author_hash, sentiment_score, sentiment_label, confidence, tokens_count, engagement, model, reject_reason)",
        "concat('post ', toString(n)), at, at, 'x', [concat('C', toString(intDiv(e, 40)))], 'en', 'up', n, toString(e),"
        " 0.1, 'neutral', 0.9, 5, 3, 'lexicon', ''",
    ),
}


def insert(client: Client, stream: str, begin: int, rows: int, per_second: int, others: int = 0) -> None:
    """Rows of a stream from the second `begin` on, about those that are known or about `others` beside them."""
    who = f"{KNOWN} + intDiv(n, 2) % {others}" if others else f"intDiv(n, 2) % {KNOWN}"
    into, picked = STREAMS[stream]
    client.command(
        f"INSERT INTO {into} WITH {begin} + intDiv(number, {per_second}) AS t,"
        f" toUInt64({begin}) * 1000 + number AS n, {who} AS e, toDateTime64(t, 3, 'UTC') AS at"
        f" SELECT {picked} FROM numbers({rows})"
    )


def remember(client: Client, end: int, rows: int, others: int = 0) -> None:
    """A history: `rows` a stream and day, two a second (with `others` twenty), each day's ending at the same hour."""
    per_second = 20 if others else 2
    for stream in STREAMS:
        for day in range(DAYS):
            insert(client, stream, end - day * 86_400 - rows // per_second, rows, per_second, others)


def measure(client: Client, blocks: int) -> dict[str, float]:
    """Milliseconds of a block of now per stream: the median; the streams take turns."""
    took: dict[str, list[float]] = {stream: [] for stream in STREAMS}
    for _ in range(blocks + 1):
        for stream, times in took.items():
            began = time.monotonic()
            insert(client, stream, int(time.time()) - 2, BLOCK, BLOCK)
            times.append(1000 * (time.monotonic() - began))
    return {stream: statistics.median(times[1:]) for stream, times in took.items()}  # the first fills caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--blocks", type=int, default=15)
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
                end = int(time.time()) - 7200
                remember(client, end, options.rows)
                short = measure(client, options.blocks)
                remember(client, end, 9 * options.rows, others=9 * KNOWN)
                long = measure(client, options.blocks)
        finally:
            process.stop()
            broker.stop(folder / "data")
    results = {s: {"ms": short[s], "ms_ten_times": long[s], "ratio": long[s] / short[s]} for s in STREAMS}
    if options.json:
        print(json.dumps(results))
        return
    for stream, line in results.items():
        print(f"{stream:<10} {line['ms']:7.1f} ms   {line['ms_ten_times']:7.1f} ms   ratio {line['ratio']:.2f}")


if __name__ == "__main__":
    main()
