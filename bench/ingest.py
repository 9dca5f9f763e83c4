"""What parsing and checking against the contracts costs the node, as CPU time of the engine, views and all.

For each topic, on its first valid example: the time of a block of one row (ClickHouse analyses every view of the chain
for each block) and the time a row in blocks of 32,768, beside the same rows through a view that only parses. Feeders
pack rows and the Kafka engine hands on a block every 100 ms, so both count. `odd` rows name a field that is null, so
that they get the closer look that suspicious rows get: why feeders leave out what they have no value for.

    python bench/ingest.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chctl.contracts import Contract, encode, load_all
from chctl.render import extract_type
from chctl.scratch import Scratch
from chctl.settings import PROJECT_DIR
from chctl.sqltext import statements

ROWS = 32_768
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(engine: Scratch) -> float:
    """CPU time of the engine's process so far."""
    fields = Path(f"/proc/{engine.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def per_insert(engine: Scratch, table: str, rows: int, repeats: int) -> float:
    """CPU seconds of one insert of the first `rows` rows of `given`, one block."""
    insert = (
        f"INSERT INTO {table} (raw) SELECT raw FROM given LIMIT {rows} SETTINGS max_threads = 1, "
        f"max_block_size = {rows}, min_insert_block_size_rows = {rows}"
    )
    engine.query(insert)
    before = cpu_seconds(engine)
    for _ in range(repeats):
        engine.query(insert)
    return (cpu_seconds(engine) - before) / repeats


def prepare(engine: Scratch, contract: Contract) -> None:
    """The topic's family behind a Null table, and a table with a view that only parses."""
    topic = contract.topic
    virtual = "_topic String, _partition UInt64, _offset UInt64, _timestamp_ms Nullable(DateTime64(3))"
    engine.query(f"CREATE TABLE kafka_{topic} (raw String, {virtual}) ENGINE = Null")
    migration = next((PROJECT_DIR / "migrations").glob(f"*_create_{topic}_ingest.sql"))
    for statement in statements(migration.read_text(encoding="utf-8"))[1:]:
        engine.query(statement.sql)
    steps = ("odd_landing", "odd", "landing", "checked", "parsed")
    for view in (f"rejected_{topic}_mv", *(f"{topic}_{step}_mv" for step in steps)):
        engine.query((PROJECT_DIR / "views" / "ingest" / f"{view}.sql").read_text(encoding="utf-8"))
    fields = ", ".join(f"{field.name} {extract_type(field)}" for field in contract.fields)
    engine.query(f"CREATE TABLE bare_{topic} (raw String) ENGINE = Null")
    engine.query(f"CREATE TABLE bare_{topic}_out (r Tuple({fields})) ENGINE = Null")
    engine.query(
        f"CREATE MATERIALIZED VIEW bare_{topic}_mv TO bare_{topic}_out AS "
        f"SELECT JSONExtract(raw, 'Tuple({fields})') AS r FROM bare_{topic}"
    )


def give(engine: Scratch, line: str) -> None:
    """Fill the table `given` with one row over and over."""
    literal = "'" + line.replace("\\", "\\\\").replace("'", "\\'") + "'"
    engine.query("CREATE OR REPLACE TABLE given (raw String) ENGINE = Memory")
    engine.query(f"INSERT INTO given SELECT {literal} FROM numbers({ROWS})")


def main() -> None:
    print(
        f"{'topic':18}{'bytes/row':>10}{'ms/block':>10}{'us/row':>8}{'odd us/row':>12}{'parse alone':>13}{'ratio':>7}"
    )
    with Scratch() as engine:
        engine.query("CREATE DATABASE bench ENGINE = Atomic")
        engine.query("USE bench")
        rejected = PROJECT_DIR / "migrations" / "0001_create_rejected_events.sql"
        engine.query(statements(rejected.read_text(encoding="utf-8"))[0].sql)
        for contract in load_all(PROJECT_DIR / "contracts"):
            if contract.consumers.clickhouse is None:
                continue
            prepare(engine, contract)
            example = contract.examples.valid[0]
            optional = next(f.name for f in reversed(contract.fields) if not (f.required or f.required_when))
            give(engine, encode(example))
            block = per_insert(engine, f"kafka_{contract.topic}", 1, 20)
            row = (per_insert(engine, f"kafka_{contract.topic}", ROWS, 5) - block) / ROWS
            bare = per_insert(engine, f"bare_{contract.topic}", ROWS, 5) / ROWS
            give(engine, encode(example | {optional: None}))
            odd = (per_insert(engine, f"kafka_{contract.topic}", ROWS, 1) - block) / ROWS
            print(
                f"{contract.topic:18}{len(encode(example)):10}{block * 1e3:10.1f}{row * 1e6:8.2f}{odd * 1e6:12.2f}"
                f"{bare * 1e6:13.2f}{row / bare:7.1f}",
                flush=True,
            )
        assert engine.query("SELECT count() FROM rejected_events").strip() == "0"


if __name__ == "__main__":
    main()
