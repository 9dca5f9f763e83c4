"""`chctl plan`: shows what a run would do and what it costs, and touches nothing."""

from __future__ import annotations

from chctl.plan import Plan, read, show

from .conftest import TGT_MV, Project


def plan(project: Project, **options: bool) -> Plan:
    return read(project.settings, open_client=project.open_client, **options)


def databases(project: Project) -> list[tuple[str]]:
    client = project.open_client()
    try:
        return client.query("SELECT name FROM system.databases ORDER BY name").result_rows  # type: ignore[return-value]
    finally:
        client.close()


def test_a_plan_of_a_new_node_does_not_even_make_the_database(project: Project) -> None:
    before = databases(project)
    found = plan(project)
    assert [m.name for m in found.migrations] == ["0001_create_src_tgt.sql"]
    assert [c.action for c in found.changes] == ["create"]
    assert found.exit_code == 2
    assert databases(project) == before


def test_a_plan_right_after_migrate_is_empty(project: Project) -> None:
    project.migrate()
    found = plan(project)
    assert found.empty
    assert found.exit_code == 0
    assert show(found) == "nothing to do"


def test_a_plan_shows_the_diff_and_the_statements_and_changes_nothing(project: Project) -> None:
    project.migrate()
    before = project.snapshot()
    project.write("views/market/tgt_mv.sql", TGT_MV.replace("length(s) AS n", "length(s) * 2 AS n,\n    s AS text"))
    found = plan(project)
    assert found.exit_code == 2
    (change,) = found.changes
    assert "-    length(s) AS n\n+    length(s) * 2 AS n,\n+    s AS text" in change.diff
    assert change.statements[0] == "ALTER TABLE tgt ADD COLUMN IF NOT EXISTS text String"
    assert change.statements[1].startswith("ALTER TABLE tgt_mv MODIFY QUERY SELECT")
    assert project.snapshot() == before


def test_a_mutation_says_how_many_parts_and_bytes_it_rewrites(project: Project) -> None:
    project.migrate()
    project.command("SYSTEM STOP MERGES tgt")
    for start in (0, 1000):
        project.command(f"INSERT INTO tgt SELECT number, number FROM numbers({start}, 1000)")
    (size,) = project.query(
        "SELECT toUInt64(sum(column_bytes_on_disk)) FROM system.parts_columns"
        f" WHERE database = '{project.settings.clickhouse_database}' AND table = 'tgt' AND column = 'n' AND active"
    )[0]
    project.write(
        "migrations/0002_widen_n.sql",
        "ALTER TABLE tgt MODIFY COLUMN n Float64;\nALTER TABLE tgt ADD COLUMN IF NOT EXISTS note String;\n",
    )
    statements = plan(project).as_dict()["migrations"][0]["statements"]
    assert (statements[0]["kind"], statements[0]["parts"], statements[0]["bytes"]) == ("mutation", 2, size)
    assert statements[0]["risks"] == ["n changes from UInt64 to Float64: values that do not fit fail or are cut"]
    assert (statements[1]["kind"], statements[1]["parts"]) == ("metadata", 0)


def test_dropping_a_table_says_how_many_rows_are_lost(project: Project) -> None:
    project.migrate()
    project.command("INSERT INTO tgt SELECT number, number FROM numbers(7)")
    project.write("migrations/0002_drop_tgt.sql", "DROP TABLE IF EXISTS tgt;\n")
    (statement,) = plan(project).as_dict()["migrations"][0]["statements"]
    assert (statement["kind"], statement["rows_lost"]) == ("drop", 7)


def test_a_refused_plan_exits_with_1(project: Project) -> None:
    project.migrate()
    project.write("migrations/0001_create_src_tgt.sql", "CREATE TABLE IF NOT EXISTS other (a UInt8) ENGINE = Null;")
    assert plan(project).exit_code == 1


def test_a_deleted_file_is_named_and_dropped_only_with_prune(project: Project) -> None:
    project.migrate()
    (project.dir / "views/market/tgt_mv.sql").unlink()
    kept = plan(project)
    assert (kept.exit_code, kept.orphans) == (0, ["tgt_mv"])
    pruned = plan(project, prune=True)
    assert (pruned.exit_code, [c.statements for c in pruned.changes]) == (2, [("DROP VIEW IF EXISTS tgt_mv",)])
