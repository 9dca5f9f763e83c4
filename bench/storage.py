"""Bytes a row, by column, of every stored table, beside the specification's DDL on the same rows.

Market rows are those that the normalizer makes of the recordings; account rows come from the simulated venue.
Everything is merged into one part a table before it is measured. All columns count, bookkeeping as it is live: a Kafka
message each 20 ms, a block each 100 ms.

    python bench/storage.py [--json] [--market]      (recordings: CHCTL_CAPTURES, or ../shared/data)

Goals: trades at most 5 B a row, book_topn at most 29 B.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from chctl.simulate.produce import messages
from chctl.simulate.venue import simulate
from feeders.normalizer import normalize
from feeders.replay import recording
from feeders.sources import venue
from tests.sql.pipeline import Pipeline

CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", Path(__file__).parents[2] / "shared" / "data"))
RECORDINGS = {
    "binance": "binance/spot_btcusdt_20240808.jsonl.gz",
    "binance_usdm": "binance/usdm_btcusdt_20240808.jsonl.gz",
    "kraken": "kraken/kraken_20210417.jsonl.gz",
    "okx": "okx/okx_20220513.jsonl.gz",
    "coinbase": "coinbase/coinbase_202608.jsonl.gz",
}
BATCH = 5000
MESSAGE_US = 20_000
BLOCK_MS = 100

#: The specification's DDL (without its TTL, which would drop recorded rows), and the rows of ours that fill it.
SPECIFIED = {
    "trades": (
        "event_time DateTime64(3), symbol LowCardinality(String), trade_id UInt64, price Float64, quantity Float64, "
        "side Enum8('BUY' = 1, 'SELL' = 2), taker Boolean, order_id UInt64, metadata String",
        "(symbol, event_time)",
        "event_time, symbol, trade_id, price, quantity, side, taker, order_id, ''",
    ),
    "book_topn": (
        "event_time DateTime64(3), symbol LowCardinality(String), bids Array(Tuple(Float64, Float64)), "
        "asks Array(Tuple(Float64, Float64)), update_type LowCardinality(String), metadata String",
        "(symbol, event_time)",
        "event_time, symbol, bids, asks, update_type, ''",
    ),
    "user_orders": (
        "event_time DateTime64(3), user_id UInt64, order_id UInt64, symbol LowCardinality(String), "
        "side Enum8('BUY' = 1, 'SELL' = 2), type LowCardinality(String), price Float64, quantity Float64, "
        "filled_quantity Float64, status LowCardinality(String), metadata String",
        "(user_id, event_time)",
        "event_time, user_id, order_id, symbol, side, type, price, quantity, filled_quantity, status, metadata",
    ),
}


def feed(pipeline: Pipeline, topic: str, lines: list[str]) -> None:
    """All lines of a topic, in blocks; what was received in the same 20 ms has one offset."""
    offset, sent = 0, 0
    rows = []
    for line in lines:
        received = json.loads(line).get("receive_time", 0) // MESSAGE_US
        offset, sent = offset + (received != sent), received
        rows.append({"raw": line, "_topic": topic, "_partition": 0, "_offset": offset})
    for at in range(0, len(rows), BATCH):
        pipeline.insert(f"kafka_{topic}", rows[at : at + BATCH])


def as_live(pipeline: Pipeline, table: str) -> None:
    """Give every row the ingest time that it would have, had it come when it happened."""
    block = f"intDiv(toUnixTimestamp64Milli(event_time), {BLOCK_MS}) * {BLOCK_MS} + {BLOCK_MS}"
    pipeline.engine.query(f"CREATE TABLE live AS {table}")
    pipeline.engine.query("SYSTEM STOP TTL MERGES live")  # recorded rows are older than the table keeps them
    pipeline.engine.query(
        f"INSERT INTO live SELECT * REPLACE (fromUnixTimestamp64Milli({block}, 'UTC') AS ingest_time) FROM {table}"
    )
    pipeline.engine.query(f"EXCHANGE TABLES live AND {table}")
    pipeline.engine.query("DROP TABLE live")


def measure(pipeline: Pipeline, table: str) -> dict[str, Any]:
    """Rows, bytes a row and the same by column of a table, once it is one part."""
    # small parts are stored as one file, which tells no sizes by column
    pipeline.engine.query(f"ALTER TABLE {table} MODIFY SETTING min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0")
    pipeline.engine.query(f"OPTIMIZE TABLE {table} FINAL")
    rows = pipeline.engine.rows(f"SELECT count() AS n FROM {table}")[0]["n"]
    parts = pipeline.engine.rows(
        "SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns "
        f"WHERE database = 'chctl' AND table = '{table}' AND active GROUP BY column ORDER BY bytes DESC"
    )
    by_column = {part["column"]: round(int(part["bytes"]) / max(1, int(rows)), 3) for part in parts}
    return {"table": table, "rows": int(rows), "bytes_a_row": round(sum(by_column.values()), 2), "columns": by_column}


#: What the specification's tables have no place for: bookkeeping of ours, and depth bands.
EXTRA = {
    "ingest_time",
    "receive_time",
    "partition",
    "offset",
    "depth_bps",
    "bid_depth_lots",
    "ask_depth_lots",
    "window_start",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--market", action="store_true", help="only the market's tables")
    options = parser.parse_args()
    pipeline = Pipeline()
    lines: dict[str, list[str]] = collections.defaultdict(list)
    for name, file in RECORDINGS.items():
        if (CAPTURES / file).exists():
            for row in normalize(recording(CAPTURES / file, "BTCUSDT"), venue(name)):
                lines[row.topic].append(row.value.decode())
    if not lines:
        print(f"no recordings in {CAPTURES}: market tables are measured on simulated rows", file=sys.stderr)
    if not options.market or not lines:
        simulated = [m for m in messages(simulate(1, 8), int(time.time() * 1000) - 480_000) if m[1] not in lines]
        for _, topic, _, value in simulated:
            lines[topic] += value.decode().splitlines()
    for topic in ("market_l2", "market_trades", *(() if options.market else ("user_actions",))):
        feed(pipeline, topic, lines[topic])
    for table in ("trades", "book_topn", "book_deltas"):
        as_live(pipeline, table)
    results = []
    market = ("trades", "book_topn", "book_deltas", "liquidity_1s", "trades_1s")
    for table in market if options.market else (*market, "user_orders", "order_flow_1s"):
        result = measure(pipeline, table)
        if table in SPECIFIED:
            columns, key, select = SPECIFIED[table]
            engine = f"ENGINE = MergeTree PARTITION BY toYYYYMM(event_time) ORDER BY {key}"
            pipeline.engine.query(f"CREATE TABLE spec_{table} ({columns}) {engine}")
            pipeline.engine.query(f"INSERT INTO spec_{table} SELECT {select} FROM {table}")
            result["specified"] = measure(pipeline, f"spec_{table}")["bytes_a_row"]
        kept = sum(size for column, size in result["columns"].items() if column not in EXTRA)
        result["without_bookkeeping"] = round(kept, 2)
        results.append(result)
    if options.json:
        print(json.dumps(results))
        return
    for r in results:
        beside = f", the specification's DDL {r['specified']} B" if "specified" in r else ""
        bare = f", {r['without_bookkeeping']} B without bookkeeping"
        print(f"{r['table']}: {r['rows']:,} rows, {r['bytes_a_row']} B a row{bare}{beside}")
        print("    " + ", ".join(f"{column} {size}" for column, size in r["columns"].items() if size >= 0.01))
    pipeline.close()


if __name__ == "__main__":
    main()
