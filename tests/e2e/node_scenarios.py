"""What a clickhouse-connect client does to a database, as values that can be compared between two ways to reach one.

`python -m tests.e2e.node_scenarios FOLDER` runs all of it in process (`interface="chdb"`) and prints the values
as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

TYPES = {
    "a UInt64": [0, 2**64 - 1],
    "b Int64": [-(2**63), 5],
    "c Float64": [0.1, -1e300],
    "d Decimal(18, 8)": [Decimal("0.00000001"), Decimal("-9999999999.5")],
    "e String": ["", "é\t\n\\'"],
    "f LowCardinality(String)": ["BTCUSDT", "BTCUSDT"],
    "g Nullable(Float64)": [None, 1.5],
    "h Array(Tuple(Float64, Float64))": [[], [(61000.5, 0.1), (61000.6, 2.0)]],
    "i Map(String, UInt64)": [{}, {"k": 1}],
    "j Enum8('BUY' = 1, 'SELL' = 2)": ["BUY", "SELL"],
    "k UUID": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)],
    "l Bool": [True, False],
    "m DateTime64(3, 'UTC')": [
        dt.datetime(2024, 8, 8, 23, 54, 0, 123000, dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    ],
    "n Array(Nullable(Int64))": [[None], [1, None, -1]],
    "o Date": [dt.date(2024, 8, 8), dt.date(1970, 1, 1)],
    "p Array(Float32)": [[], [0.5, 0.25]],
    "q LowCardinality(Nullable(String))": [None, "x"],
    "r DateTime64(6, 'UTC')": [dt.datetime(2024, 8, 8, 23, 54, 0, 123456, dt.UTC)] * 2,
    "s Tuple(x UInt8, y String)": [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}],
    "t FixedString(4)": [b"\x00\x01\x02\x03", b"abcd"],
    "u UInt8": [0, 255],
}


def types(client: Client) -> Any:
    """Every column type of the project in by insert and out by query."""
    out = {}
    for number, (column, values) in enumerate(TYPES.items()):
        name = column.split(" ")[0]
        client.command(f"CREATE TABLE types_{number} (row UInt8, {column}) ENGINE = MergeTree ORDER BY row")
        client.insert(f"types_{number}", list(enumerate(values)), column_names=["row", name])
        result = client.query(f"SELECT row, {name} FROM types_{number} ORDER BY row")
        # UTC comes back without its zone
        sent = [value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value for value in values]
        assert [row[1] for row in result.result_rows] == sent, column
        out[column] = [str(kind.name) for kind in result.column_types], repr(result.result_rows)
    return out


def states(client: Client) -> Any:
    """States of rollups, written through a materialized view and merged by a query."""
    client.command("CREATE TABLE raw (symbol String, id UInt64, price Float64) ENGINE = MergeTree ORDER BY id")
    client.command(
        "CREATE TABLE rollup (symbol String, ids AggregateFunction(uniq, UInt64),"
        " last AggregateFunction(argMax, Float64, UInt64)) ENGINE = AggregatingMergeTree ORDER BY symbol"
    )
    client.command(
        "CREATE MATERIALIZED VIEW rollup_mv TO rollup AS"
        " SELECT symbol, uniqState(id) AS ids, argMaxState(price, id) AS last FROM raw GROUP BY symbol"
    )
    for _ in range(2):
        client.insert("raw", [[f"S{i % 3}", i, i / 4] for i in range(1000)], column_names=["symbol", "id", "price"])
    return client.query(
        "SELECT symbol, uniqMerge(ids), argMaxMerge(last) FROM rollup GROUP BY symbol ORDER BY symbol"
    ).result_rows


def parameters(client: Client) -> Any:
    """Values bound by the client and by the server."""
    values = {"s": "it's \\ a\ttab\n'", "n": 2**63, "a": [1, 2], "d": dt.datetime(2024, 8, 8, 1, 2, 3), "m": None}
    server = "SELECT {s:String}, {n:UInt64}, {a:Array(UInt8)}, {d:DateTime}, {m:Nullable(String)}"
    bound = "SELECT %(s)s, %(n)s, %(a)s"
    return [repr(client.query(query, parameters=values).result_rows) for query in (server, bound)]


def errors(client: Client) -> Any:
    """Codes and names of errors."""
    seen = []
    client.command("CREATE TABLE errors_table (a UInt8) ENGINE = MergeTree ORDER BY a")
    for query in (
        "SELECT nope",
        "SELECT * FROM nope",
        "SELECT nope()",
        "SELECT throwIf(1)",
        "SELECT toUInt8('x')",
        "CREATE TABLE errors_table (a UInt8) ENGINE = Memory",
        "SELECT 1 SETTINGS nope = 1",
        "SELECT * FROM nope.nope",
        "INSERT INTO errors_table VALUES ('x')",
    ):
        try:
            client.query(query)
            seen.append((query, "no error"))
        except DatabaseError as error:
            seen.append((query, str(error.code)))
    return seen


def large(client: Client) -> Any:
    """A result of many blocks, whole and as a stream."""
    query = "SELECT number AS n, toString(number) AS s FROM numbers(1000000)"
    with client.query_row_block_stream(query) as blocks:
        total = sum(row[0] + len(row[1]) for block in blocks for row in block)
    result = client.query("SELECT number AS n, toString(number) AS s FROM numbers(200000)")
    return total, len(result.result_rows), result.column_names


def formats(client: Client) -> Any:
    """Raw results in the formats people ask for."""
    query = "SELECT number AS n, toString(number) AS s, [number] AS a FROM numbers(3)"
    names = ("TSV", "CSVWithNames", "JSONEachRow", "JSONCompactEachRow", "RowBinary", "Values", "Native")
    return [client.raw_query(query, fmt=name).hex() for name in names]


def frames(client: Client) -> Any:
    """Arrow tables and data frames, both ways."""
    client.command("CREATE TABLE frame (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    client.insert_arrow("frame", client.query_arrow("SELECT number AS n, 'x' AS s FROM numbers(10)", use_strings=True))
    client.insert_df("frame", client.query_df("SELECT number + 10 AS n, 'y' AS s FROM numbers(10)"))
    return client.query("SELECT n, s FROM frame ORDER BY n").result_rows


def commands(client: Client) -> Any:
    """Commands, settings and what is empty."""
    client.command("CREATE TABLE empty_table (a UInt8, b Nullable(String)) ENGINE = MergeTree ORDER BY a")
    empty = client.query("SELECT * FROM empty_table")
    return [
        client.command("SELECT 'a', 'b'"),
        client.command("SELECT sum(number) FROM numbers(10)"),
        empty.column_names,
        [kind.name for kind in empty.column_types],
        client.query("SELECT getSetting('max_threads')", settings={"max_threads": 3}).result_rows,
        client.query("SHOW TABLES LIKE 'empty%'").result_rows,
        client.query("WITH 1 AS x SELECT x LIMIT 0").column_names,
    ]


SCENARIOS: dict[str, Callable[[Client], Any]] = {
    f.__name__: f for f in (types, states, parameters, errors, large, formats, frames, commands)
}


def run(client: Client) -> dict[str, Any]:
    """All scenarios on the client's empty database, in a form that JSON keeps."""
    return {name: json.loads(json.dumps(scenario(client), default=str)) for name, scenario in SCENARIOS.items()}


def main() -> None:
    """In process, on the folder of the command line."""
    import clickhouse_connect

    with clickhouse_connect.get_client(interface="chdb", path=sys.argv[1]) as admin:
        admin.command("CREATE DATABASE scenarios ENGINE = Atomic")
        with clickhouse_connect.get_client(interface="chdb", path=sys.argv[1], database="scenarios") as client:
            print(json.dumps(run(client)))


if __name__ == "__main__":
    main()
