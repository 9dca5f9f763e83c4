"""`chctl drift` and `chctl adopt`: what somebody changed on the node, and how it becomes the file."""

from __future__ import annotations

from chctl.drift import adopt, drift

from .conftest import Project


def test_a_node_as_the_files_made_it_has_no_drift(project: Project) -> None:
    project.write("views/limits.sql", "CREATE VIEW IF NOT EXISTS limits AS SELECT 1 AS a")
    project.migrate()
    assert drift(project.settings, open_client=project.open_client) == []


def test_a_live_edit_is_shown_as_a_diff_and_adopted_into_the_file(project: Project) -> None:
    project.migrate()
    project.command("ALTER TABLE tgt_mv MODIFY QUERY SELECT a, length(s) + 10 AS n FROM src WHERE a > 0")
    (found,) = drift(project.settings, open_client=project.open_client)
    assert (found.object, found.state, found.path) == ("tgt_mv", "changed", "views/market/tgt_mv.sql")
    assert "-    length(s) AS n" in found.diff
    assert "+    length(s) + 10 AS n" in found.diff

    path = adopt(project.settings, "tgt_mv", open_client=project.open_client)
    assert path is not None
    assert path.read_text() == (
        "-- Length of s, one row a row of src.\n"
        "CREATE MATERIALIZED VIEW IF NOT EXISTS tgt_mv TO tgt AS\n"
        "SELECT\n    a,\n    length(s) + 10 AS n\nFROM src\nWHERE a > 0;\n"
    )
    assert drift(project.settings, open_client=project.open_client) == []
    assert not project.migrate().changed


def test_an_adopted_file_gives_the_same_object_elsewhere(project: Project, make_project) -> None:  # type: ignore[no-untyped-def]
    project.migrate()
    project.command("ALTER TABLE tgt_mv MODIFY QUERY SELECT a, length(s) + 10 AS n FROM src")
    path = adopt(project.settings, "tgt_mv", open_client=project.open_client)
    assert path is not None
    other = make_project()
    other.write("views/market/tgt_mv.sql", path.read_bytes())
    other.migrate()
    other.command("INSERT INTO src VALUES (1, 'abc')")
    assert other.query("SELECT n FROM tgt") == [(13,)]


def test_an_object_without_a_live_edit_leaves_its_file_alone(project: Project) -> None:
    project.migrate()
    file = project.dir / "views/market/tgt_mv.sql"
    before = file.read_bytes()
    assert adopt(project.settings, "tgt_mv", open_client=project.open_client) is None
    assert file.read_bytes() == before


def test_missing_and_unmanaged_objects_are_named(project: Project) -> None:
    project.migrate()
    project.command("DROP TABLE tgt_mv")
    project.command("CREATE VIEW stray AS SELECT 1 AS a")
    found = drift(project.settings, open_client=project.open_client)
    assert [(d.object, d.state) for d in found] == [("stray", "unmanaged"), ("tgt_mv", "missing")]
    adopt(project.settings, "stray", open_client=project.open_client)
    assert (project.dir / "views/stray.sql").read_text().startswith("-- stray: taken over from the node.\nCREATE VIEW")
    project.migrate()
    assert drift(project.settings, open_client=project.open_client) == []
