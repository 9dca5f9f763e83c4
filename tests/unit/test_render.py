"""The committed ingest SQL is what the contracts render to, and `chctl contracts render` says where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from chctl.contracts import load_all
from chctl.render import stale, write
from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import parse_object, statements

FAMILY = ("{}_parsed_mv", "{}_checked_mv", "{}_landing_mv", "{}_odd_mv", "{}_odd_landing_mv", "rejected_{}_mv")


def test_the_committed_sql_is_up_to_date() -> None:
    assert stale(load_all(PROJECT_DIR / "contracts"), PROJECT_DIR) == []


def test_every_topic_has_its_family() -> None:
    for contract in load_all(PROJECT_DIR / "contracts"):
        if contract.consumers.clickhouse is None:
            continue
        for view in FAMILY:
            assert (PROJECT_DIR / "views" / "ingest" / f"{view.format(contract.topic)}.sql").is_file()


def test_a_kafka_table_is_read_as_lines_by_its_own_group() -> None:
    for path in (PROJECT_DIR / "migrations").glob("*_ingest.sql"):
        table = parse_object(statements(path.read_text(encoding="utf-8"))[0].sql)
        assert [name for name, _ in table.columns] == ["raw"]
        assert table.settings["kafka_group_name"] == f"chctl.clickhouse.{table.settings['kafka_topic_list']}"
        assert table.settings["kafka_format"] == "LineAsString"


def test_render_writes_what_is_out_of_date_and_check_only_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("contracts", "migrations", "views", "templates"):
        shutil.copytree(PROJECT_DIR / folder, tmp_path / folder)
    monkeypatch.setattr("chctl.settings.settings", lambda: Settings(project_dir=tmp_path))
    contract = tmp_path / "contracts" / "market_trades.yaml"
    contract.write_text(contract.read_text(encoding="utf-8").replace("max: 1.0e+12", "max: 1.0e+11"), encoding="utf-8")
    views = [f"views/ingest/market_trades_{step}_mv.sql" for step in ("checked", "odd_landing")]  # at sight, and closer
    before = [(tmp_path / view).read_text(encoding="utf-8") for view in views]

    checked = CliRunner().invoke(cli.app, ["contracts", "render", "--check"])
    assert (checked.exit_code, checked.stdout) == (1, "".join(f"{view}\n" for view in views))
    assert [(tmp_path / view).read_text(encoding="utf-8") for view in views] == before

    written = CliRunner().invoke(cli.app, ["contracts", "render"])
    assert (written.exit_code, written.stdout) == (0, "".join(f"{view}\n" for view in views))
    for view in views:
        assert "in_price > 100000000000)" in (tmp_path / view).read_text(encoding="utf-8")
    assert CliRunner().invoke(cli.app, ["contracts", "render", "--check"]).exit_code == 0


def test_a_new_topic_gets_the_next_number_and_keeps_it(tmp_path: Path) -> None:
    for folder in ("contracts", "migrations", "views", "templates"):
        shutil.copytree(PROJECT_DIR / folder, tmp_path / folder)
    text = (tmp_path / "contracts" / "market_trades.yaml").read_text(encoding="utf-8")
    new = tmp_path / "contracts" / "liquidations.yaml"
    new.write_text(text.replace("topic: market_trades", "topic: liquidations"), encoding="utf-8")
    contracts = load_all(tmp_path / "contracts")
    last = max(int(path.name[:4]) for path in (tmp_path / "migrations").glob("*.sql"))

    written = [path.as_posix() for path in write(contracts, tmp_path)]

    assert f"migrations/{last + 1:04d}_create_liquidations_ingest.sql" in written
    assert len(written) == 1 + len(FAMILY)
    assert write(contracts, tmp_path) == []


def test_a_missing_include_is_named_by_render_and_lint_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("contracts", "migrations", "views", "templates"):
        shutil.copytree(PROJECT_DIR / folder, tmp_path / folder)
    monkeypatch.setattr("chctl.settings.settings", lambda: Settings(project_dir=tmp_path))
    template = tmp_path / "templates/ingest/landing_mv.sql.j2"
    template.write_text("{% include 'gone.j2' %}\n" + template.read_text(encoding="utf-8"), encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.sql")}
    for arguments in (["contracts", "render"], ["lint"]):
        done = CliRunner().invoke(cli.app, arguments)
        assert done.exit_code == 1
        said = "templates/ingest/gone.j2:1: is missing: restore it from the repository; landing_mv.sql.j2 includes it"
        assert said in done.output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.sql")} == before
