"""`chctl cluster`: the same SQL for more than one node, which ClickHouse parses and `chctl plan` plans."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chctl import cluster, plan
from chctl.project import Project
from chctl.scratch import Scratch
from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import statements
from cli import app


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cluster") / "prod"
    done = CliRunner().invoke(app, ["cluster", "--name", "prod", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize(
    ("one_node", "many"),
    [
        (
            "CREATE TABLE IF NOT EXISTS t (a Int8) ENGINE = MergeTree ORDER BY a",
            "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'prod' (a Int8) ENGINE = ReplicatedMergeTree ORDER BY a",
        ),
        (
            "CREATE TABLE IF NOT EXISTS t (a Int8) ENGINE = ReplacingMergeTree(a)",
            "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'prod' (a Int8) ENGINE = ReplicatedReplacingMergeTree(a)",
        ),
        (
            "CREATE TABLE IF NOT EXISTS t (a Int8) ENGINE = Kafka(chctl_kafka)",
            "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'prod' (a Int8) ENGINE = Kafka(chctl_kafka)",
        ),
        (
            "ALTER TABLE t DROP COLUMN IF EXISTS b",
            "ALTER TABLE t ON CLUSTER 'prod' DROP COLUMN IF EXISTS b",
        ),
        ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"),
        (
            "-- CREATE TABLE x: only said\nCREATE VIEW IF NOT EXISTS v AS SELECT 1",
            "-- CREATE TABLE x: only said\nCREATE VIEW IF NOT EXISTS v ON CLUSTER 'prod' AS SELECT 1",
        ),
    ],
    ids=["plain", "with arguments", "kafka", "alter", "insert", "comment"],
)
def test_a_statement_of_one_node_and_of_many(one_node: str, many: str) -> None:
    assert cluster.statement(one_node, "prod") == many


def test_clickhouse_parses_every_statement(copy: Path) -> None:
    files = [*copy.glob("migrations/*.sql"), *copy.glob("views/**/*.sql")]
    originals = [*PROJECT_DIR.glob("migrations/*.sql"), *PROJECT_DIR.glob("views/**/*.sql")]
    assert len(files) == len(originals)
    with Scratch() as engine:
        for path in files:
            for one in statements(path.read_text()):
                engine.query(f"EXPLAIN AST {one.sql}")


def test_every_stored_table_is_replicated_and_everything_runs_on_the_cluster(copy: Path) -> None:
    every = [
        one.sql
        for path in [*copy.glob("migrations/*.sql"), *copy.glob("views/**/*.sql")]
        for one in statements(path.read_text())
    ]
    assert [sql for sql in every if re.search(r"ENGINE = (?!Replicated)\w*MergeTree", sql)] == []
    assert [sql[:80] for sql in every if not re.match(r"\s*INSERT", sql) and "ON CLUSTER 'prod'" not in sql] == []


def test_the_outbox_and_what_migrations_fill_are_one_for_all_shards(copy: Path) -> None:
    def tables(pattern: str) -> set[str]:
        return {
            name
            for path in copy.glob("migrations/*.sql")
            for one in statements(path.read_text())
            for name in re.findall(pattern, one.sql, re.DOTALL)
        }

    shared = tables(r"^CREATE TABLE IF NOT EXISTS (\w+) .*/clickhouse/tables/all/")
    assert {"alert_rules", "rule_owners", "symbol_aliases", "alerts", "alert_deliveries"} <= shared
    assert tables(r"^INSERT INTO (\w+)") <= shared
    assert not {"trades", "book_topn", "user_orders"} & shared


def test_dashboards_read_every_shard(copy: Path) -> None:
    text = (copy / "views" / "dash" / "dash_rejects.sql").read_text()
    assert "FROM cluster('prod', currentDatabase(), 'rejected_events')\nFINAL" in text


def test_plan_takes_the_copy_for_a_project_and_shows_what_it_would_run(copy: Path, settings: Settings) -> None:
    here, there = (plan.read(settings.model_copy(update={"project_dir": folder})) for folder in (PROJECT_DIR, copy))
    # the embedded node has no remote_servers: the plan names each dashboard that would read a cluster that is not there
    assert here.refusals == []
    refused = {refusal.split(":")[0] for refusal in there.refusals}
    assert refused <= {path.relative_to(copy).as_posix() for path in copy.glob("views/dash/*.sql")}
    assert all("cluster 'prod' not found" in refusal for refusal in there.refusals)
    paths_here, paths_there = ({change["path"] for change in one.as_dict()["changes"]} for one in (here, there))
    assert paths_there == paths_here - refused
    shown = plan.show(there)
    assert "ON CLUSTER 'prod'" in shown


def test_a_folder_with_files_and_a_name_that_is_none_are_refused(copy: Path, tmp_path: Path) -> None:
    project = Project.read(PROJECT_DIR)
    with pytest.raises(cluster.ClusterError, match="not empty"):
        cluster.write(project, "prod", copy)
    with pytest.raises(cluster.ClusterError, match="names no cluster"):
        cluster.write(project, "prod'; DROP", tmp_path / "new")
