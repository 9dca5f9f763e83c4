"""`chctl rebuild`: a rollup recomputed from the raw rows equals what the rollup should have been."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from chctl.migrate import MigrateError
from chctl.rebuild import Result, rebuild, substitute

from .conftest import Project

TABLES = """-- A stream with its stored rows and a rollup per second.
CREATE TABLE IF NOT EXISTS x_landing (id UInt64, event_time DateTime64(3, 'UTC'), price Float64, reject_reason String)
ENGINE = Null;
CREATE TABLE IF NOT EXISTS trades
(
    id UInt64,
    event_time DateTime64(3, 'UTC'),
    price Float64,
    ingest_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toYYYYMMDD(event_time)
ORDER BY id;
CREATE TABLE IF NOT EXISTS trades_1s
(
    second DateTime('UTC'),
    ids AggregateFunction(uniqExact, UInt64),
    high SimpleAggregateFunction(max, Float64),
    last AggregateFunction(argMax, Float64, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(second)
ORDER BY second;
"""
READ = (
    "SELECT toUnixTimestamp(second), uniqExactMerge(ids), max(high), argMaxMerge(last) FROM trades_1s GROUP BY second"
)
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def stream(project: Project) -> Project:
    """Two days of rows, ten a second, one of them rejected."""
    project.write("migrations/0002_create_stream.sql", TABLES)
    project.write(
        "views/trades_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS trades_mv TO trades AS"
        " SELECT id, event_time, price FROM x_landing WHERE reject_reason = ''",
    )
    project.write(
        "views/trades_1s_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS trades_1s_mv TO trades_1s AS"
        " SELECT toStartOfSecond(event_time) AS second, uniqExactState(id) AS ids,"
        " max(price) AS high, argMaxState(price, id) AS last"
        " FROM x_landing WHERE reject_reason = '' GROUP BY second",
    )
    project.migrate()
    project.command(
        "INSERT INTO x_landing SELECT number, toDateTime64('2026-03-01 23:59:50', 3, 'UTC') + number / 10,"
        " 100 + number % 7, if(number = 50, 'bad', '') FROM numbers(200)"
    )
    return project


def run(project: Project, start: datetime, end: datetime, check: bool = False) -> Result:
    return rebuild(project.settings, "trades_1s", start, end, check=check, open_client=project.open_client)


def test_check_of_a_sound_rollup_finds_nothing_and_changes_nothing(stream: Project) -> None:
    before = stream.snapshot()
    result = run(stream, DAY, DAY.replace(day=3), check=True)
    assert (result.rows, result.different, result.rebuilt) == (20, 0, False)
    assert stream.snapshot() == before


def test_rebuild_mends_a_rollup_over_midnight_and_keeps_what_is_outside(stream: Project) -> None:
    good = sorted(stream.query(READ))
    stream.command("ALTER TABLE trades_1s DELETE WHERE second = '2026-03-01 23:59:55' SETTINGS mutations_sync = 2")
    stream.command(
        "INSERT INTO trades_1s SELECT toDateTime('2026-03-02 00:00:03', 'UTC'), uniqExactState(toUInt64(10000)),"
        " 999., argMaxState(999., toUInt64(10000))"
    )
    start, end = datetime(2026, 3, 1, 23, 59, 54, tzinfo=UTC), datetime(2026, 3, 2, 0, 0, 5, tzinfo=UTC)
    assert run(stream, start, end, check=True).different == 3  # one missing, one wrong on either side
    assert run(stream, start, end).rebuilt
    assert sorted(stream.query(READ)) == good
    assert run(stream, DAY, DAY.replace(day=3), check=True).different == 0
    assert stream.query("EXISTS TABLE trades_1s__rebuild") == [(0,)]


def test_a_row_delivered_twice_counts_once(stream: Project) -> None:
    good = sorted(stream.query(READ))
    stream.command(
        "INSERT INTO x_landing SELECT number, toDateTime64('2026-03-01 23:59:50', 3, 'UTC') + number / 10,"
        " 100 + number % 7, if(number = 50, 'bad', '') FROM numbers(200)"
    )
    assert run(stream, DAY, DAY.replace(day=3), check=True).different == 0
    run(stream, DAY, DAY.replace(day=3))
    assert sorted(stream.query(READ)) == good


def test_readers_and_writers_meanwhile_see_every_row(stream: Project) -> None:
    """While a day is rebuilt again and again, rows come in: none from before it began is missed, and none is lost."""
    start, end = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    done, seen, before = threading.Event(), [0], [0]
    count = "SELECT uniqExactMerge(ids) FROM trades_1s WHERE second >= '2026-03-02 00:00:00'"
    missed: list[tuple[int, int]] = []  # (rows before this rebuild began, rows read)

    def write_and_read() -> None:
        client = stream.client()
        number = 1000
        while not done.is_set():
            number += 1
            client.command(
                f"INSERT INTO x_landing SELECT {number}, toDateTime64('2026-03-02 00:10:00', 3, 'UTC'), 1, ''"
            )
            least = before[0]
            seen[0] = int(client.query(count).result_rows[0][0])
            if seen[0] < least:
                missed.append((least, seen[0]))
        client.close()

    thread = threading.Thread(target=write_and_read)
    thread.start()
    try:
        for _ in range(10):
            before[0] = stream.query(count)[0][0]
            run(stream, start, end)
    finally:
        done.set()
        thread.join(30)
    assert run(stream, start, end, check=True).different == 0
    assert seen[0] > 110
    assert missed == []


def test_readers_see_each_of_several_days_change_at_once(stream: Project) -> None:
    """Three days are spoiled and rebuilt again and again: a reader finds each day all spoiled or all mended."""
    stream.command(
        "INSERT INTO x_landing SELECT 2000 + number, toDateTime64('2026-03-03 08:00:00', 3, 'UTC') + number, 1, ''"
        " FROM numbers(100)"
    )
    highs = "SELECT toDate(second), arraySort(groupUniqArray(high = 999)) FROM trades_1s GROUP BY 1 ORDER BY 1"
    spoil = "ALTER TABLE trades_1s UPDATE high = 999 WHERE 1 SETTINGS mutations_sync = 2"
    good = sorted(stream.query(READ))
    rebuilding, done = threading.Event(), threading.Event()
    seen: set[tuple[tuple[bool, ...], ...]] = set()  # a day's seconds: are they spoiled

    def watch() -> None:
        client = stream.client()
        while not done.is_set():
            during = rebuilding.is_set()
            rows = client.query(highs).result_rows
            if during and rebuilding.is_set():
                seen.add(tuple(tuple(map(bool, spoiled)) for _, spoiled in rows))
        client.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(5):
            stream.command(spoil)
            rebuilding.set()
            result = run(stream, DAY, DAY.replace(day=4))
            rebuilding.clear()
            assert result.partitions == ["20260301", "20260302", "20260303"]
            assert sorted(stream.query(READ)) == good
    finally:
        done.set()
        thread.join(30)
    assert ((True,), (True,), (True,)) in seen
    assert all(len(day) == 1 for days in seen for day in days), seen
    assert all(list(days) == sorted(days) for days in seen), seen  # the oldest day first
    assert str(result).endswith("3 partitions were replaced one after the other, each at once")


def test_a_rollup_without_stored_rows_behind_it_says_why(stream: Project) -> None:
    stream.write(
        "migrations/0003_create_sizes_1s.sql",
        "CREATE TABLE IF NOT EXISTS odd_1s (second DateTime('UTC'), n UInt64) ENGINE = MergeTree ORDER BY second;\n",
    )
    stream.write(
        "views/odd_1s_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS odd_1s_mv TO odd_1s AS SELECT now() AS second, length(s) AS n FROM src",
    )
    stream.migrate()
    with pytest.raises(MigrateError, match="no stored table has the columns that odd_1s_mv reads from src"):
        rebuild(stream.settings, "odd_1s", DAY, DAY.replace(day=2), open_client=stream.open_client)
    with pytest.raises(MigrateError, match="has no table nothing"):
        rebuild(stream.settings, "nothing", DAY, DAY.replace(day=2), open_client=stream.open_client)


def test_only_the_table_is_substituted() -> None:
    query = "SELECT trades.a, 'trades', trades_x FROM db.trades AS t WHERE a IN (SELECT a FROM trades)"
    assert substitute(query, "trades", "{raw}") == (
        "SELECT trades.a, 'trades', trades_x FROM {raw} AS t WHERE a IN (SELECT a FROM {raw})"
    )
