"""`chctl migrate`: applies what is pending and what changed, once, in an order that loses nothing."""

from __future__ import annotations

import pytest

from chctl.migrate import MigrateError, summary

from .conftest import TGT_MV, Project


def test_applies_migrations_then_views(project: Project) -> None:
    report = project.migrate()
    assert report.migrations == ["0001_create_src_tgt.sql"]
    assert [(c.action, c.object) for c in report.changes] == [("create", "tgt_mv")]
    project.command("INSERT INTO src VALUES (1, 'abc')")
    assert project.query("SELECT a, n FROM tgt") == [(1, 3)]


def test_second_run_changes_nothing(project: Project) -> None:
    project.migrate()
    before = project.snapshot()
    assert not project.migrate().changed
    assert project.snapshot() == before


def test_changed_view_is_modified_in_place_and_its_target_gets_the_column(project: Project) -> None:
    project.migrate()
    uuid = project.query("SELECT uuid FROM system.tables WHERE name = 'tgt_mv'")
    project.write("views/market/tgt_mv.sql", TGT_MV.replace("AS n\n", "AS n,\n    upper(s) AS big\n"))
    report = project.migrate()
    assert [c.action for c in report.changes] == ["modify"]
    assert project.query("SELECT uuid FROM system.tables WHERE name = 'tgt_mv'") == uuid
    project.command("INSERT INTO src VALUES (1, 'abc')")
    assert project.query("SELECT a, n, big FROM tgt") == [(1, 3, "ABC")]
    assert not project.migrate().changed


def test_a_changed_comment_runs_nothing_on_the_object(project: Project) -> None:
    project.migrate()
    project.write("views/market/tgt_mv.sql", "-- Another description.\n" + TGT_MV)
    report = project.migrate()
    assert [(c.action, c.statements) for c in report.changes] == [("record", ())]
    assert not project.migrate().changed


def test_an_object_that_vanished_is_made_again(project: Project) -> None:
    project.migrate()
    project.command("DROP TABLE tgt_mv")
    assert [(c.action, c.object) for c in project.migrate().changes] == [("create", "tgt_mv")]


def test_readers_are_attached_before_the_view_that_feeds_them(project: Project) -> None:
    """Names sort the other way round: what decides is who reads whom."""
    project.write(
        "migrations/0002_create_chain.sql",
        "CREATE TABLE IF NOT EXISTS kafka_x (raw String) ENGINE = Null;\n"
        "CREATE TABLE IF NOT EXISTS x_landing (a UInt64) ENGINE = Null;\n"
        "CREATE TABLE IF NOT EXISTS sums (a UInt64) ENGINE = MergeTree ORDER BY a;\n"
        "CREATE TABLE IF NOT EXISTS peaks (a UInt64) ENGINE = MergeTree ORDER BY a;\n",
    )
    project.write(
        "views/a_landing_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS a_landing_mv TO x_landing AS SELECT toUInt64(raw) AS a FROM kafka_x",
    )
    project.write(
        "views/b_sums_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS b_sums_mv TO sums AS SELECT a FROM x_landing WHERE a IN z_limits",
    )
    project.write(
        "views/c_peaks_mv.sql",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS c_peaks_mv TO peaks AS SELECT max(a) AS a FROM (SELECT a FROM sums)",
    )
    project.write("views/z_limits.sql", "CREATE VIEW IF NOT EXISTS z_limits AS SELECT arrayJoin([1, 2]) AS a")
    order = [c.object for c in project.migrate().changes]
    assert order.index("c_peaks_mv") < order.index("b_sums_mv") < order.index("a_landing_mv")
    assert order.index("z_limits") < order.index("b_sums_mv")


def test_an_edited_migration_is_refused_before_anything_runs(project: Project) -> None:
    project.migrate()
    before = project.snapshot()
    project.write("migrations/0001_create_src_tgt.sql", "CREATE TABLE IF NOT EXISTS other (a UInt8) ENGINE = Null;")
    project.write("views/later.sql", "CREATE VIEW IF NOT EXISTS later AS SELECT 1 AS a")
    with pytest.raises(MigrateError, match=r"0001_create_src_tgt.sql:1: applied at .* and edited since"):
        project.migrate()
    assert project.snapshot() == before


def test_a_missing_migration_is_refused(project: Project) -> None:
    project.migrate()
    (project.dir / "migrations/0001_create_src_tgt.sql").unlink()
    with pytest.raises(MigrateError, match="missing here: restore the file"):
        project.migrate()


def test_a_failing_statement_is_named_and_the_next_run_goes_on_there(project: Project) -> None:
    project.write(
        "migrations/0002_fill.sql",
        "CREATE TABLE IF NOT EXISTS first (a UInt8) ENGINE = Null;\n"
        "CREATE TABLE IF NOT EXISTS second AS missing_table;\n",
    )
    with pytest.raises(MigrateError, match=r"0002_fill.sql, statement 2: "):
        project.migrate()
    project.command("CREATE TABLE missing_table (a UInt8) ENGINE = Null")
    report = project.migrate()
    assert report.migrations == ["0002_fill.sql"]
    ran = project.query("SELECT step, count() FROM schema_history FINAL WHERE object = '2' GROUP BY step ORDER BY step")
    assert ran == [(0, 1), (1, 1), (2, 2)]


def test_a_statement_that_the_engine_is_built_without_is_skipped_with_a_notice(project: Project) -> None:
    index = "ALTER TABLE tgt ADD INDEX IF NOT EXISTS {name} n TYPE {type} GRANULARITY 1;\n"
    marked = "-- optional: Unknown Index type\n"
    project.write(
        "migrations/0002_add_indexes.sql",
        "-- Two indexes.\n\n"
        + marked
        + index.format(name="near", type="no_such_index(512)")
        + marked
        + index.format(name="range", type="minmax"),
    )
    report = project.migrate()
    assert report.migrations[-1] == "0002_add_indexes.sql"
    assert report.skipped == [
        "migrations/0002_add_indexes.sql, statement 1: this engine does without it (Unknown Index type)"
    ]
    assert report.skipped[0] in summary(report)
    indexes = "SELECT name FROM system.data_skipping_indices WHERE table = 'tgt' AND database = currentDatabase()"
    assert project.query(indexes) == [("range",)]
    assert project.query(
        "SELECT step, state FROM schema_history FINAL WHERE object = '2' AND step > 0 ORDER BY step"
    ) == [
        (1, "skipped"),
        (2, "done"),
    ]
    assert not project.migrate().changed


def test_an_optional_statement_that_fails_for_another_reason_stops_the_run(project: Project) -> None:
    project.write(
        "migrations/0002_add_index.sql",
        "-- optional: Unknown Index type\nALTER TABLE tgt ADD INDEX IF NOT EXISTS i no_such_column TYPE minmax;\n",
    )
    with pytest.raises(MigrateError, match="no_such_column"):
        project.migrate()
