"""`chctl lint`: one fault put into a copy of the project, one finding at its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from chctl import lint
from chctl.settings import PROJECT_DIR, Settings

VIEW = "views/market/trades_mv.sql"
GOOD = """-- one_mv: a case of this test. Grain: a trade. Read by nobody.
CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO trades
AS SELECT
    venue,
    symbol
FROM market_trades_landing
WHERE reject_reason = '';
"""
#: name of a view -> (what is changed of GOOD, into what, line of the finding, part of its message)
FAULTS = {
    "uncommented_mv": (
        "-- one_mv: a case of this test. Grain: a trade. Read by nobody.\n",
        "",
        1,
        "open with a comment",
    ),
    "tabbed_mv": ("    symbol", "\tsymbol", 5, "a tab"),
    "unguarded_mv": ("IF NOT EXISTS ", "", 2, "IF NOT EXISTS"),
    "targetless_mv": ("TO trades", "", 2, "names its table"),
    "bound_mv": ("FROM market_trades_landing", "FROM chctl.market_trades_landing", 6, "database chctl"),
    "lower_mv": ("FROM", "from", 6, "write FROM in upper case"),
    "unclosed_mv": ("''", "'", 7, "never closed"),
    "unparsed_mv": ("    symbol", "    symbol symbol2 symbol3", 5, "Syntax error"),
    "setting_mv": ("CREATE", "SET max_threads = 1;\nCREATE", 3, "one object"),
    "renamed_mv": ("{name}", "other_mv", 2, "name the file other_mv.sql"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("contracts", "migrations", "views", "templates"):
        shutil.copytree(PROJECT_DIR / part, folder / part)
    return folder


@pytest.fixture(scope="module")
def faulty(project: Path) -> list[str]:
    """Findings in a copy that has every fault, each in a file of its own."""
    added = []
    for name, (old, new, _, _) in FAULTS.items():
        assert old in GOOD
        added.append(project / "views" / "market" / f"{name}.sql")
        added[-1].write_text(GOOD.replace(old, new, 1).replace("{name}", name), encoding="utf-8")
    added.append(project / "views" / "market" / "binary_mv.sql")
    added[-1].write_bytes(b"\xff\xfe\x00")
    added.append(project / "migrations" / "0990_set_something.sql")
    added[-1].write_text("-- Sets something.\nSET max_threads = 1;\n", encoding="utf-8")
    added.append(project / "contracts" / "nothing.yaml")
    added[-1].write_text("topic: nothing\npartitions: many\n", encoding="utf-8")
    found = [str(finding) for finding in lint.lint(project)]
    for path in added:
        path.unlink()
    return found


def line_of(path: str, needle: str) -> int:
    text = (PROJECT_DIR / path).read_text(encoding="utf-8")
    return text[: text.index(needle)].count("\n") + 1


def test_the_project_itself_has_no_findings() -> None:
    assert lint.lint(PROJECT_DIR) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_line_and_nothing_else_in_its_file(faulty: list[str], name: str) -> None:
    _, _, line, message = FAULTS[name]
    path = f"views/market/{name}.sql"
    (found,) = [finding for finding in faulty if finding.startswith(f"{path}:")]
    assert found.startswith(f"{path}:{line}: ")
    assert message in found


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("views/market/binary_mv.sql:1: ", "binary data"),
        ("migrations/0990_set_something.sql:2: ", "SET is lost"),
        ("contracts/nothing.yaml:2: ", "int"),
    ],
)
def test_other_files_are_checked_too(faulty: list[str], place: str, message: str) -> None:
    assert any(finding.startswith(place) and message in finding for finding in faulty), faulty


def test_what_files_say_together_is_found_when_each_can_be_read(project: Path) -> None:
    """A column that the table has not, and a generated file that was edited by hand."""
    column = project / VIEW
    generated = project / "views" / "ingest" / "market_trades_checked_mv.sql"
    before = {path: path.read_text(encoding="utf-8") for path in (column, generated)}
    column.write_text(before[column].replace("    side,", "    side AS sides,"), encoding="utf-8")
    generated.write_text(before[generated].replace("in_price <= 0", "in_price < 0"), encoding="utf-8")
    try:
        found = [str(finding) for finding in lint.lint(project)]
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    assert any(finding.startswith(f"{VIEW}:") and "did you mean side" in finding for finding in found), found
    assert (
        "views/ingest/market_trades_checked_mv.sql:1: is not what its contract renders to: run `chctl contracts render`"
        in found
    )


def test_the_command_prints_findings_as_editors_read_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chctl.settings.settings", lambda: Settings(project_dir=project))
    before = (project / VIEW).read_text(encoding="utf-8")
    (project / VIEW).write_text(before.replace("    venue,", "\tvenue,"), encoding="utf-8")
    line = line_of(VIEW, "    venue,")
    try:
        plain = CliRunner().invoke(cli.app, ["lint"])
        as_json = CliRunner().invoke(cli.app, ["lint", "--json"])
    finally:
        (project / VIEW).write_text(before, encoding="utf-8")

    assert (plain.exit_code, plain.stdout) == (1, f"{VIEW}:{line}: a tab: indent by four spaces\n")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout) == [{"path": VIEW, "line": line, "message": "a tab: indent by four spaces"}]
