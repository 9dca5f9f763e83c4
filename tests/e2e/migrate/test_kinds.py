"""Each kind of view changes by the safe way for its kind."""

from __future__ import annotations

import pytest

from chctl.checks import keyless_writes, schema
from chctl.contracts import load
from chctl.migrate import MigrateError
from chctl.project import read_migrations
from chctl.scaffold import new_stream
from chctl.settings import PROJECT_DIR
from chctl.views import load_views

from .conftest import Project


def dictionary(project: Project, source: str) -> None:
    project.write(
        "views/limits.sql",
        "CREATE DICTIONARY IF NOT EXISTS limits (a UInt64, n UInt64) PRIMARY KEY a"
        f" SOURCE(CLICKHOUSE(QUERY 'SELECT {source} FROM {project.settings.clickhouse_database}.tgt'))"
        " LIFETIME(0) LAYOUT(HASHED())",
    )


def test_a_dictionary_whose_new_source_fails_keeps_serving_the_old_one(project: Project) -> None:
    project.write("migrations/0002_seed_tgt.sql", "-- not idempotent: one row\nINSERT INTO tgt SELECT 1, 10;\n")
    dictionary(project, "a, n")
    project.migrate()
    dictionary(project, "a, nothing AS n")
    with pytest.raises(MigrateError, match=r"limits.sql, statement 2: .*nothing"):
        project.migrate()
    assert project.query("SELECT dictGet('limits', 'n', toUInt64(1))") == [(10,)]
    assert (
        project.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%trial'") == []
    )
    dictionary(project, "a, n + 1 AS n")
    project.migrate()
    assert project.query("SELECT dictGet('limits', 'n', toUInt64(1))") == [(11,)]


def test_a_refreshable_view_changes_schedule_and_query_in_place(project: Project) -> None:
    view = (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS sums_mv REFRESH EVERY {every} APPEND TO tgt AS SELECT {a} AS a, 1 AS n"
    )
    project.write("views/sums_mv.sql", view.format(every="1 HOUR", a=1))
    project.migrate()
    uuid = project.query("SELECT uuid FROM system.tables WHERE name = 'sums_mv' AND database = currentDatabase()")
    project.write("views/sums_mv.sql", view.format(every="2 HOUR", a=2))
    assert [s.split(" SELECT")[0] for c in project.migrate().changes for s in c.statements] == [
        "ALTER TABLE sums_mv MODIFY REFRESH EVERY 2 HOUR APPEND",
        "ALTER TABLE sums_mv MODIFY QUERY",
    ]
    assert (
        project.query("SELECT uuid FROM system.tables WHERE name = 'sums_mv' AND database = currentDatabase()") == uuid
    )
    project.write("views/sums_mv.sql", view.format(every="2 HOUR", a=2).replace(" APPEND", ""))
    with pytest.raises(MigrateError, match="APPEND cannot be added or removed in place"):
        project.migrate()


MID = "CREATE TABLE IF NOT EXISTS mid ({columns}) ENGINE = Null"
MID_MV = "CREATE MATERIALIZED VIEW IF NOT EXISTS mid_mv TO tgt AS SELECT {columns} FROM mid"


def test_a_null_table_loses_a_column_only_after_its_views_have_let_go_of_it(project: Project) -> None:
    project.write("views/mid.sql", MID.format(columns="a UInt64, old UInt64"))
    project.write("views/mid_mv.sql", MID_MV.format(columns="a, old AS n"))
    project.migrate()
    project.write("views/mid.sql", MID.format(columns="a UInt64, new UInt64"))
    project.write("views/mid_mv.sql", MID_MV.format(columns="a, new AS n"))
    report = project.migrate()
    assert [c.late for c in report.changes] == [("ALTER TABLE mid DROP COLUMN IF EXISTS old",), ()]
    project.command("INSERT INTO mid VALUES (1, 5)")
    assert project.query("SELECT a, n FROM tgt") == [(1, 5)]
    assert not project.migrate().changed


def test_a_new_column_travels_down_a_chain_in_one_run(project: Project) -> None:
    """The table's column is added though the view's query could not be understood before the run."""
    project.write("views/mid.sql", MID.format(columns="a UInt64"))
    project.write("views/mid_mv.sql", MID_MV.format(columns="a"))
    project.migrate()
    project.write("views/mid.sql", MID.format(columns="a UInt64, colour String"))
    project.write("views/mid_mv.sql", MID_MV.format(columns="a, colour"))
    project.migrate()
    project.command("INSERT INTO mid VALUES (1, 'red')")
    assert project.query("SELECT a, colour FROM tgt") == [(1, "red")]


@pytest.mark.parametrize(("select", "wrong"), [("a AS id", True), ("toString(a) AS _key, a AS id", False)])
def test_a_keyless_write_to_a_compacted_topic_is_found(project: Project, select: str, wrong: bool) -> None:
    (project.dir / "templates").symlink_to(PROJECT_DIR / "templates")
    (path,) = new_stream(project.dir, "states")
    path.write_text(path.read_text().replace("cleanup_policy: delete", "cleanup_policy: compact"))
    project.write(
        "migrations/0002_create_to_kafka_states.sql",
        "CREATE TABLE IF NOT EXISTS to_kafka_states (_key String, id UInt64) ENGINE = Kafka(chctl_kafka)"
        " SETTINGS kafka_topic_list = 'states', kafka_group_name = 'none', kafka_format = 'JSONEachRow';\n",
    )
    project.write(
        "views/states_mv.sql",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS states_mv TO to_kafka_states AS SELECT {select} FROM src",
    )
    views = load_views(project.dir)
    tables = schema(read_migrations(project.dir), views)
    found = [f.message for f in keyless_writes(views, tables, {"states": load(path)})]
    assert bool(found) is wrong
    assert all("without a key" in message for message in found)
