"""`chctl history`, `chctl baseline` and `chctl rollback`."""

from __future__ import annotations

import pytest

from chctl.bookkeeping import whoami
from chctl.history import baseline, history, rollback, show
from chctl.migrate import MigrateError
from chctl.plan import read
from chctl.views import FileError

from .conftest import SOURCES, TGT_MV, Project


def test_history_says_who_ran_which_statement_and_for_how_long(project: Project) -> None:
    assert history(project.settings, open_client=project.open_client) == []
    project.migrate()
    rows = history(project.settings, open_client=project.open_client)
    assert [(r.kind, r.object, r.step, r.state) for r in rows] == [
        ("migration", "1", 1, "done"),
        ("migration", "1", 2, "done"),
        ("migration", "1", 0, "done"),
        ("mv", "tgt_mv", 1, "done"),
    ]
    assert {r.who for r in rows} == {whoami()}
    assert rows[0].duration_ms > 0
    assert "CREATE TABLE IF NOT EXISTS src" in show(rows)
    assert len(history(project.settings, 1, open_client=project.open_client)) == 1


def test_baseline_takes_over_a_node_that_was_made_by_hand(project: Project) -> None:
    name = project.settings.clickhouse_database
    client = project.open_client()
    client.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    client.close()
    for statement in [*SOURCES.split(";\n")[:-1], TGT_MV]:
        project.command(statement)
    project.command("INSERT INTO src VALUES (1, 'kept')")
    assert baseline(project.settings, 1, open_client=project.open_client) == ["0001_create_src_tgt.sql"]
    assert read(project.settings, open_client=project.open_client).empty
    assert project.query("SELECT a, n FROM tgt") == [(1, 4)]
    with pytest.raises(MigrateError, match="Refusing to baseline"):
        baseline(project.settings, 1, open_client=project.open_client)


def test_baseline_refuses_a_view_that_differs_from_its_file(project: Project) -> None:
    name = project.settings.clickhouse_database
    client = project.open_client()
    client.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    client.close()
    for statement in [*SOURCES.split(";\n")[:-1], TGT_MV.replace("length(s)", "length(s) + 1")]:
        project.command(statement)
    with pytest.raises(MigrateError, match=r"these views differ from the node(.|\n)*length\(s\) \+ 1"):
        baseline(project.settings, 1, open_client=project.open_client)


def test_rollback_undoes_the_last_migration_and_it_can_be_applied_again(project: Project) -> None:
    project.write("migrations/0002_create_extra.sql", "CREATE TABLE IF NOT EXISTS extra (a UInt8) ENGINE = Null;\n")
    project.write("migrations/0002_create_extra.down.sql", "DROP TABLE IF EXISTS extra;\n")
    project.migrate()
    assert rollback(project.settings, open_client=project.open_client) == ["0002_create_extra.sql"]
    assert project.query("EXISTS TABLE extra") == [(0,)]
    assert project.migrate().migrations == ["0002_create_extra.sql"]
    assert project.query("EXISTS TABLE extra") == [(1,)]


def test_rollback_without_a_down_file_is_refused_before_anything_runs(project: Project) -> None:
    project.write("migrations/0002_create_extra.sql", "CREATE TABLE IF NOT EXISTS extra (a UInt8) ENGINE = Null;\n")
    project.write("migrations/0002_create_extra.down.sql", "DROP TABLE IF EXISTS extra;\n")
    project.migrate()
    before = project.query("SELECT count() FROM schema_history")
    with pytest.raises(MigrateError, match=r"0001_create_src_tgt.sql has no 0001_create_src_tgt.down.sql"):
        rollback(project.settings, 2, open_client=project.open_client)
    assert project.query("EXISTS TABLE extra") == [(1,)]
    assert project.query("SELECT count() FROM schema_history") == before


@pytest.mark.parametrize(
    ("undo", "why"),
    [
        ("DROP TABLE extra;\n", r"0002_create_extra.down.sql:1: not idempotent: write DROP ... IF EXISTS"),
        ("-- nothing\n", "0002_create_extra.down.sql:1: holds no statement"),
    ],
)
def test_a_down_file_is_held_to_what_a_migration_is(project: Project, undo: str, why: str) -> None:
    project.write("migrations/0002_create_extra.sql", "CREATE TABLE IF NOT EXISTS extra (a UInt8) ENGINE = Null;\n")
    project.write("migrations/0002_create_extra.down.sql", undo)
    with pytest.raises((MigrateError, FileError), match=why):
        project.migrate()


def test_a_down_file_that_the_node_cannot_parse_is_refused_before_anything_runs(project: Project) -> None:
    project.write("migrations/0002_create_extra.sql", "CREATE TABLE IF NOT EXISTS extra (a UInt8) ENGINE = Null;\n")
    project.write("migrations/0002_create_extra.down.sql", "DROP TABLE IF EXISTS extra;\nDROP TABLE IF EXISTS a b c;\n")
    project.migrate()
    with pytest.raises(MigrateError, match=r"down.sql:2: the node cannot parse it: Syntax error"):
        rollback(project.settings, open_client=project.open_client)
    assert project.query("EXISTS TABLE extra") == [(1,)]
