"""What `chctl migrate` refuses, with the way to do it, before the first statement runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from chctl.migrate import MigrateError
from chctl.views import FileError

from .conftest import TGT_MV, Project

KAFKA = (
    "CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = Kafka(chctl_kafka) SETTINGS kafka_topic_list = '{topic}',"
    " kafka_group_name = '{group}', kafka_format = 'JSONEachRow'"
)

CONTRACT = """topic: t
description: Of the tests.
producers: [tests]
consumers:
  clickhouse: {}
key: [n]
partitions: 1
retention: 7d
cleanup_policy: delete
fields:
  - name: n
    type: uint8
    required: true
    description: A number.
examples:
  valid: [{n: 1}, {n: 2}]
  invalid:
    - {reason: "n: missing", row: {}}
    - {reason: "n: out of bounds", row: {n: 256}}
    - {reason: "n: not an integer", row: {n: x}}
"""


def refused(project: Project, message: str) -> None:
    """The run is refused with `message`, and the node is as it was."""
    before = project.snapshot()
    with pytest.raises((MigrateError, FileError), match=message):
        project.migrate()
    assert project.snapshot() == before


@pytest.fixture
def applied(project: Project) -> Project:
    """The example project, applied."""
    project.migrate()
    return project


def test_what_is_refused_on_a_fresh_node_leaves_it_fresh(project: Project) -> None:
    project.write("migrations/0002_bad.sql", "CREATE TABLE t (a UInt8) ENGINE = Null;\n")
    with pytest.raises(MigrateError, match=r"write CREATE \.\.\. IF NOT EXISTS"):
        project.migrate()
    client = project.open_client()
    found = client.query(f"SELECT count() FROM system.databases WHERE name = '{project.settings.clickhouse_database}'")
    assert found.result_rows == [(0,)]


def test_a_view_that_changes_under_whose_rights_it_runs(applied: Project) -> None:
    view = "CREATE MATERIALIZED VIEW IF NOT EXISTS sec_mv TO tgt AS SELECT a, 1 AS n FROM src"
    applied.write("views/sec_mv.sql", view)
    applied.migrate()
    applied.write("views/sec_mv.sql", view.replace("TO tgt", "TO tgt DEFINER = CURRENT_USER SQL SECURITY DEFINER"))
    refused(applied, "DEFINER = CURRENT_USER SQL SECURITY DEFINER changes: write a migration")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE t (a UInt8) ENGINE = Null", "write CREATE ... IF NOT EXISTS"),
        ("CREATE TABLE IF NOT EXISTS t ENGINE = Memory AS SELECT 1 AS a", "leaves a half-filled table"),
        ("DROP TABLE tgt", "write DROP ... IF EXISTS"),
        ("ALTER TABLE tgt ADD COLUMN x UInt8", "write ADD COLUMN IF NOT EXISTS"),
        ("ALTER TABLE tgt ADD COLUMN IF NOT EXISTS x UInt8, DROP COLUMN n", "write DROP COLUMN IF EXISTS"),
        ("INSERT INTO tgt SELECT 1, 1", "doubles the rows"),
        ("RENAME TABLE tgt TO other", "the old name is gone"),
        ("EXCHANGE TABLES tgt AND src", "swaps the two back"),
        ("ALTER TABLE tgt UPDATE n = n + 1 WHERE 1", "from its own result"),
        ("SET max_threads = 1", "does not reach the next statement"),
    ],
)
def test_a_statement_that_may_not_run_twice(applied: Project, statement: str, why: str) -> None:
    applied.write("migrations/0002_change.sql", f"-- A change.\n{statement};\n")
    refused(applied, f"0002_change.sql:2: not idempotent: .*{why}")


def test_a_written_waiver_lets_it_pass(applied: Project) -> None:
    applied.write(
        "migrations/0002_fill_tgt.sql", "-- not idempotent: seeds the table once\nINSERT INTO tgt SELECT 5, 6;\n"
    )
    applied.migrate()
    assert applied.query("SELECT a, n FROM tgt") == [(5, 6)]


def test_a_gap_in_the_numbers(applied: Project) -> None:
    applied.write("migrations/0003_create_x.sql", "CREATE TABLE IF NOT EXISTS x (a UInt8) ENGINE = Null;\n")
    refused(applied, r"0003_create_x.sql:1: migration 0002 is missing before this one")
    (applied.dir / "migrations/0003_create_x.sql").rename(applied.dir / "migrations/0010_create_x.sql")
    assert applied.migrate().migrations == ["0010_create_x.sql"]  # a new part of the schema


def test_two_migrations_of_one_number(applied: Project) -> None:
    applied.write("migrations/0001_create_x.sql", "CREATE TABLE IF NOT EXISTS x (a UInt8) ENGINE = Null;\n")
    refused(applied, "number 0001 is also used by migrations/0001_create_src_tgt.sql|0001_create_x.sql")


def test_ddl_that_the_node_cannot_parse(applied: Project) -> None:
    applied.write("views/bad.sql", "-- Bad.\nCREATE VIEW IF NOT EXISTS bad AS\nSELECT 1 AS a FROM src WHERE\n")
    refused(applied, r"views/bad.sql:2: the node cannot parse it: Syntax error")


def test_a_view_of_something_that_does_not_exist(applied: Project) -> None:
    applied.write("views/bad.sql", "CREATE VIEW IF NOT EXISTS bad AS SELECT a FROM nowhere")
    refused(applied, r"views/bad.sql:1: .*nowhere")


def test_a_column_that_looks_like_a_slip(applied: Project) -> None:
    applied.command("ALTER TABLE tgt ADD COLUMN quantity Float64")
    applied.write("views/market/tgt_mv.sql", TGT_MV.replace("AS n\n", "AS n,\n    1.5 AS quantitiy\n"))
    refused(applied, r"gives quantitiy, which tgt has not: did you mean quantity\?")


def test_a_view_to_a_table_that_shares_no_column(applied: Project) -> None:
    applied.write("views/odd_mv.sql", "CREATE MATERIALIZED VIEW IF NOT EXISTS odd_mv TO tgt AS SELECT s AS x FROM src")
    refused(applied, "gives no column that tgt has: is TO tgt right")


def test_a_query_that_the_node_cannot_run(applied: Project) -> None:
    applied.write("views/market/tgt_mv.sql", TGT_MV.replace("length(s)", "length(nothing)"))
    refused(applied, "tgt_mv.sql:1: .*nothing")


def test_a_view_that_changes_its_table(applied: Project) -> None:
    applied.command("CREATE TABLE tgt2 AS tgt")
    applied.write("views/market/tgt_mv.sql", TGT_MV.replace("TO tgt ", "TO tgt2 "))
    refused(applied, "a view cannot change its table. Write a new view in a new file")


def test_an_object_that_changes_its_kind(applied: Project) -> None:
    applied.write("views/market/tgt_mv.sql", "CREATE VIEW IF NOT EXISTS tgt_mv AS SELECT 1 AS a")
    refused(applied, "a mv on the node and a view in the file: give the new one a new name")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ORDER BY a", "ORDER BY b", "ORDER BY changes: write a migration"),
        ("ReplacingMergeTree(at)", "MergeTree", "the engine changes from ReplacingMergeTree to MergeTree"),
        (", b UInt8", "", "b would be dropped with its values"),
        ("b UInt8", "b UInt16", "b changes its type"),
        ("INTERVAL 7 DAY", "INTERVAL 8 DAY", "TTL changes: write a migration with ALTER TABLE kept MODIFY TTL"),
        (" TTL at + INTERVAL 7 DAY", "", "TTL changes"),
        ("= 64", "= 128", "SETTINGS changes: .* MODIFY SETTING"),
        ("COMMENT 'x'", "COMMENT 'y'", "COMMENT changes"),
        ("ReplacingMergeTree(at)", "ReplacingMergeTree(b)", "the arguments of ReplacingMergeTree change"),
        ("TYPE minmax", "TYPE set(10)", "an index, projection or constraint changes"),
        (", INDEX i b TYPE minmax", "", "an index, projection or constraint changes"),
    ],
)
def test_a_table_in_views_keeps_all_but_new_columns(applied: Project, old: str, new: str, why: str) -> None:
    table = (
        "CREATE TABLE IF NOT EXISTS kept (a UInt8, b UInt8, at DateTime, INDEX i b TYPE minmax)"
        " ENGINE = ReplacingMergeTree(at) ORDER BY a TTL at + INTERVAL 7 DAY SETTINGS index_granularity = 64"
        " COMMENT 'x'"
    )
    assert table.count(old) == 1
    applied.write("views/kept.sql", table)
    applied.migrate()
    applied.write("views/kept.sql", table.replace(old, new))
    refused(applied, why)


def test_a_default_on_a_kafka_table(applied: Project) -> None:
    table = KAFKA.format(name="kafka_t", columns="raw String DEFAULT 'x'", topic="t", group="chctl.clickhouse.t")
    applied.write("migrations/0002_create_kafka_t.sql", table + ";\n")
    refused(applied, "0002_create_kafka_t.sql:1: kafka_t.raw has a default")


def test_a_changed_consumer_group(applied: Project) -> None:
    first = KAFKA.format(name="kafka_t", columns="raw String", topic="t", group="chctl.clickhouse.t")
    second = first.replace("chctl.clickhouse.t", "chctl.other.t")
    applied.write("migrations/0002_create_kafka_t.sql", first + ";\n")
    applied.write("migrations/0003_recreate_kafka_t.sql", f"DROP TABLE IF EXISTS kafka_t;\n{second};\n")
    refused(applied, "0003_recreate_kafka_t.sql:2: kafka_t changes its consumer group")


def test_two_views_on_one_kafka_table(applied: Project) -> None:
    table = KAFKA.format(name="kafka_t", columns="raw String", topic="t", group="chctl.clickhouse.t")
    applied.write("migrations/0002_create_kafka_t.sql", table + ";\n")
    for name in ("one_mv", "two_mv"):
        view = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO tgt AS SELECT length(raw) AS a FROM kafka_t"
        applied.write(f"views/{name}.sql", view)
    refused(applied, r"views/two_mv.sql:1: two_mv and one_mv both read kafka_t: let one write to a Null table")


NULLABLE = {
    "kafka_t": (
        "raw Nullable(String), n UInt8",
        "kafka_t.n is neither Nullable nor String: a missing field would read",
    ),
    "to_kafka_t": ("raw String, n Nullable(UInt8)", "to_kafka_t.n is Nullable, the contract requires it"),
}


@pytest.mark.parametrize("name", NULLABLE)
def test_a_column_of_a_kafka_table_against_its_contract(applied: Project, name: str) -> None:
    columns, why = NULLABLE[name]
    applied.write("contracts/t.yaml", CONTRACT)
    table = KAFKA.format(name=name, columns=columns, topic="t", group="chctl.clickhouse.t")
    applied.write(f"migrations/0002_create_{name}.sql", table + ";\n")
    refused(applied, f"0002_create_{name}.sql:1: {why}")


def test_a_write_to_a_compacted_topic_without_a_key(applied: Project) -> None:
    applied.write("contracts/t.yaml", CONTRACT.replace("cleanup_policy: delete", "cleanup_policy: compact"))
    table = KAFKA.format(name="to_kafka_t", columns="n UInt8", topic="t", group="chctl.clickhouse.t")
    applied.write("migrations/0002_create_to_kafka_t.sql", table + ";\n")
    view = "CREATE MATERIALIZED VIEW IF NOT EXISTS to_kafka_t_mv TO to_kafka_t AS SELECT toUInt8(a) AS n FROM src"
    applied.write("views/to_kafka_t_mv.sql", view)
    refused(applied, "to_kafka_t_mv writes to the compacted topic t without a key: give to_kafka_t a column _key")


def test_a_changed_consumer_group_of_a_table_in_views(applied: Project) -> None:
    table = KAFKA.format(name="kafka_t", columns="raw String", topic="t", group="chctl.clickhouse.t")
    table = table.replace("Kafka(chctl_kafka) SETTINGS", "Kafka SETTINGS kafka_broker_list = '127.0.0.1:9',")
    applied.write("views/kafka_t.sql", table)
    applied.migrate()
    applied.write("views/kafka_t.sql", table.replace("chctl.clickhouse.t", "chctl.other.t"))
    refused(applied, "the consumer group changes from 'chctl.clickhouse.t' to 'chctl.other.t'")


def test_two_tables_in_one_consumer_group(applied: Project) -> None:
    first = KAFKA.format(name="kafka_t", columns="raw String", topic="t", group="chctl.clickhouse.t")
    applied.write("migrations/0002_create_kafka_t.sql", first + ";\n")
    applied.write("migrations/0003_create_kafka_u.sql", first.replace("kafka_t ", "kafka_u ") + ";\n")
    refused(applied, "kafka_u and kafka_t share consumer group chctl.clickhouse.t")


def test_a_live_edit_is_not_overwritten_unless_asked(applied: Project) -> None:
    applied.command("ALTER TABLE tgt_mv MODIFY QUERY SELECT a, 100 AS n FROM src")
    applied.write("views/market/tgt_mv.sql", TGT_MV.replace("length(s)", "length(s) + 1"))
    refused(applied, "tgt_mv was changed on the node since .* and its file as well")
    applied.migrate(overwrite=("tgt_mv",))
    applied.command("INSERT INTO src VALUES (1, 'abc')")
    assert applied.query("SELECT n FROM tgt") == [(4,)]


def test_an_object_in_use_is_not_pruned(applied: Project) -> None:
    applied.write("views/limits.sql", "CREATE VIEW IF NOT EXISTS limits AS SELECT 1 AS a")
    applied.write("views/dash.sql", "CREATE VIEW IF NOT EXISTS dash AS SELECT a FROM limits")
    applied.migrate()
    (applied.dir / "views/limits.sql").unlink()
    with pytest.raises(MigrateError, match="limits is used by dash: change those first"):
        applied.migrate(prune=True)


def test_a_table_that_holds_rows_is_not_pruned(applied: Project) -> None:
    applied.write("views/kept.sql", "CREATE TABLE IF NOT EXISTS kept (a UInt8) ENGINE = MergeTree ORDER BY a")
    applied.migrate()
    applied.command("INSERT INTO kept VALUES (1)")
    (applied.dir / "views/kept.sql").unlink()
    with pytest.raises(MigrateError, match="kept holds 1 rows: restore the file"):
        applied.migrate(prune=True)
    applied.command("TRUNCATE TABLE kept")
    assert [c.action for c in applied.migrate(prune=True).changes] == ["drop"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfCREATE VIEW v AS SELECT 1 AS a", "starts with a byte order mark"),
        (b"CREATE VIEW v AS\r\nSELECT 1 AS a", r"v.sql:1: has Windows line ends"),
        (b"CREATE VIEW v AS\nSELECT \0 AS a", r"v.sql:2: holds binary data"),
        (b"CREATE VIEW v AS\nSELECT '\xff' AS a", r"v.sql:2: is not UTF-8"),
        (b"CREATE VIEW v AS\nSELECT 'a AS a", r"v.sql:2: ' is never closed"),
        (b"CREATE VIEW v AS SELECT (1 AS a", "cannot parse it|never closed"),
        (b"-- nothing\n", "holds 0 statements"),
        (b"CREATE VIEW v AS SELECT 1 AS a;\nSELECT 2", r"v.sql:2: holds 2 statements"),
        (b"CREATE VIEW w AS SELECT 1 AS a", "creates w: name the file w.sql"),
        (b"SELECT 1", "expected one CREATE statement"),
        (b"CREATE FUNCTION v AS x -> x + 1", "a function belongs to the whole server"),
        (b"CREATE VIEW v AS SELECT '" + b"x" * 5_000_000 + b"' AS a", "no SQL file of this project is larger"),
    ],
    ids=["bom", "crlf", "zero", "latin", "quote", "paren", "empty", "two", "name", "select", "function", "5mb"],
)
def test_a_file_that_cannot_be_used(applied: Project, content: bytes, message: str) -> None:
    applied.write("views/v.sql", content)
    refused(applied, message)


def test_a_file_without_permission(applied: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads every file, so the operating system's answer is put in its place."""
    file = applied.write("views/v.sql", "CREATE VIEW v AS SELECT 1 AS a")
    read = Path.read_bytes

    def denied(self: Path) -> bytes:
        if self == file:
            raise PermissionError(13, "Permission denied")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(applied, "views/v.sql:1: cannot be read: Permission denied")


def test_a_dangling_link(applied: Project) -> None:
    (applied.dir / "views/v.sql").symlink_to(applied.dir / "gone.sql")
    refused(applied, "views/v.sql:1: cannot be read: No such file")
