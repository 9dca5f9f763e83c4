"""The commands around migrations as a DBA types them: exit codes, data on stdout, errors on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from chctl.settings import PROJECT_DIR, Settings
from chctl.settings import settings as read_settings
from cli import app
from tests.ports import free_port

from .conftest import SOURCES, TGT_MV

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `chctl ...` on the example project and a database of its own on the shared node."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "views").mkdir()
    (tmp_path / "migrations/0001_create_src_tgt.sql").write_text(SOURCES)
    (tmp_path / "views/tgt_mv.sql").write_text(TGT_MV)
    monkeypatch.setenv("CHCTL_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("CHCTL_CLICKHOUSE_URL", settings.clickhouse_url)
    monkeypatch.setenv("CHCTL_CLICKHOUSE_DATABASE", settings.clickhouse_database)
    # Loggers keep the stream they first wrote to; the runner's is closed after each command.
    monkeypatch.setattr("chctl.logs.configure", lambda _: None)
    read_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, arguments)
    read_settings.cache_clear()


def test_plan_migrate_status_history_and_drift(run: Run, tmp_path: Path) -> None:
    assert run("plan").exit_code == 2
    migrated = run("migrate")
    assert migrated.exit_code == 0
    assert "applied 0001_create_src_tgt.sql\ncreate   mv tgt_mv\ndone in" in migrated.stdout
    assert "nothing to do" in run("migrate").stdout
    planned = run("plan", "--json")
    assert (planned.exit_code, json.loads(planned.stdout)["changes"]) == (0, [])
    assert json.loads(run("status", "--json").stdout)["up_to_date"] is True
    assert len(json.loads(run("history", "--json").stdout)) == 4
    drifted = run("drift", "--json")
    assert (drifted.exit_code, json.loads(drifted.stdout)) == (0, [])

    (tmp_path / "views/tgt_mv.sql").write_text(TGT_MV.replace("length(s)", "length(s) + 1"))
    planned = run("plan")
    assert planned.exit_code == 2
    assert "+    length(s) + 1 AS n" in planned.stdout


def test_a_refusal_names_the_file_and_line_on_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "views/odd.sql").write_bytes(b"CREATE VIEW odd AS\r\nSELECT 1 AS a")
    for command in ("migrate", "plan", "status", "drift"):
        done = run(command)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "views/odd.sql:1: has Windows line ends" in done.stderr


def test_a_node_that_is_not_there_is_an_error_not_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CHCTL_CLICKHOUSE_URL", url)
    read_settings.cache_clear()
    done = run("plan")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"no ClickHouse answers at {url} (Connection refused): is it up")
    assert done.stderr.count("\n") == 1


def test_a_run_with_nothing_to_do_imports_little() -> None:
    """What takes long to import is for runs that have something to do, to log or to check."""
    heavy = "{'structlog', 'rich', 'yaml', 'msgspec', 'jinja2', 'confluent_kafka', 'numpy', 'chdb'}"
    code = f"import cli, chctl.migrate, sys; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("migrate", "--interrupted", "perhaps"), "say again or done"),
        (("migrate", "--overwrite", "nothing"), "--overwrite nothing: views/ has no such file"),
        (("drift", "nothing"), "views/ has nothing"),
        (("backtest", "/elsewhere/rule.sql"), "/elsewhere/rule.sql:1: is not a file of the project"),
    ],
)
def test_a_name_that_is_none_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CHCTL_PROJECT_DIR", "/nowhere", "/nowhere/migrations:1: does not exist"),
        ("CHCTL_CLICKHOUSE_URL", "localhost", "write http(s)://host:port"),
        ("CHCTL_CLICKHOUSE_URL", "http://127.0.0.1:port", "write http(s)://host:port"),
        ("CHCTL_CLICKHOUSE_DATABASE", "a-b", "use letters, digits and underscores"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    read_settings.cache_clear()
    for command in ("plan", "migrate"):
        done = run(command)
        assert (done.exit_code, done.stdout) == (1, "")
        assert said in done.stderr


def test_a_baseline_of_a_database_that_is_not_there_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHCTL_CLICKHOUSE_DATABASE", "no_such_database")
    read_settings.cache_clear()
    done = run("baseline", "1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no database no_such_database to take over" in done.stderr
