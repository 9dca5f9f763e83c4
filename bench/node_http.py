"""The node over HTTP beside the same engine in process: rows inserted a second, rows read a second, queries a second.

Both sides run the same clickhouse-connect calls in this run, one after the other, each on a fresh folder; what is read
is the ratio. `python bench/node_http.py [--json]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from chctl.clickhouse import connect
from chctl.node import broker
from chctl.node.run import start_process

ROWS, BATCH, QUERIES, CLIENTS = 500_000, 50_000, 300, 4
COLUMNS = ["time", "symbol", "trade_id", "price", "quantity", "side"]
TABLE = """
    CREATE TABLE trades (time DateTime64(3), symbol LowCardinality(String), trade_id UInt64, price Float64,
        quantity Float64, side Enum8('BUY' = 1, 'SELL' = 2)) ENGINE = MergeTree ORDER BY (symbol, time)
"""


def seconds(call: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def measure(client: Client, more: Callable[[], Client]) -> dict[str, float]:
    """Rows a second in and out, queries a second of one client and of `CLIENTS` at once."""
    client.command(TABLE)
    symbols = [f"S{i % 20}" for i in range(BATCH)]
    sides = ["BUY" if i % 2 else "SELL" for i in range(BATCH)]
    numbers = list(range(BATCH))
    floats = [i / 8 for i in range(BATCH)]
    times = [1_723_161_255_343 + i for i in range(BATCH)]
    data = [times, symbols, numbers, floats, floats, sides]

    def insert() -> None:
        for _ in range(ROWS // BATCH):
            client.insert("trades", data, column_names=COLUMNS, column_oriented=True)

    def read() -> None:
        result = client.query("SELECT * FROM trades", column_oriented=True)
        assert len(result.result_columns[0]) == ROWS

    def ask(own: Client, times: int) -> None:
        for i in range(times):
            own.query(f"SELECT count(), max(price) FROM trades WHERE symbol = 'S{i % 20}'")

    def together() -> None:
        clients = [more() for _ in range(CLIENTS)]
        threads = [threading.Thread(target=ask, args=(own, QUERIES // CLIENTS)) for own in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return {
        "rows_inserted_per_s": ROWS / seconds(insert),
        "rows_read_per_s": ROWS / seconds(read),
        "queries_per_s": QUERIES / seconds(lambda: ask(client, QUERIES)),
        f"queries_per_s_of_{CLIENTS}": QUERIES / seconds(together),
    }


def in_process(folder: str) -> dict[str, float]:
    """The engine inside this process; one engine a process, so it is run in one of its own."""

    def open_client() -> Client:
        return clickhouse_connect.get_client(interface="chdb", path=folder, database="bench")

    with clickhouse_connect.get_client(interface="chdb", path=folder) as admin:
        admin.command("CREATE DATABASE bench ENGINE = Atomic")
        return measure(open_client(), open_client)


def over_http(folder: Path) -> dict[str, float]:
    """The node in a process of its own."""
    node = start_process(folder)
    try:
        settings = node.settings(clickhouse_database="bench")
        connect(settings, database="").command("CREATE DATABASE bench ENGINE = Atomic")
        return measure(connect(settings), lambda: connect(settings))
    finally:
        node.stop()
        broker.stop(folder)


def main() -> None:
    """Run both and print the figures."""
    if len(sys.argv) > 2 and sys.argv[1] == "--in-process":
        print(json.dumps(in_process(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--in-process", f"{folder}/chdb"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        inside: dict[str, Any] = json.loads(done.stdout)
        outside = over_http(Path(folder) / "node")
    figures = {
        name: {
            "http": round(outside[name]),
            "in_process": round(inside[name]),
            "ratio": round(outside[name] / inside[name], 2),
        }
        for name in inside
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"{'':28}{'http':>12}{'in process':>12}{'ratio':>8}")
    for name, row in figures.items():
        print(f"{name:28}{row['http']:>12}{row['in_process']:>12}{row['ratio']:>8}")


if __name__ == "__main__":
    main()
