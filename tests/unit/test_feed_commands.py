"""`chctl feed social` and `chctl feed collect`: what they say when they cannot start."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from chctl import settings as settings_module
from cli import app


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHCTL_COLLECT_RSS_URLS", "CHCTL_OPENAI_API_KEY", "CHCTL_SECRETS_DIR", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    settings_module.settings.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["feed", "collect", "--source", "rss"], "set CHCTL_COLLECT_RSS_URLS"),
        (["feed", "collect", "--source", "usenet"], "choose one of rss, reddit, telegram, x, onchain"),
        (["feed", "social", "--backfill"], "set CHCTL_OPENAI_API_KEY"),
    ],
)
def test_a_setup_that_cannot_work_ends_with_78_and_what_to_do(
    arguments: list[str], said: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHCTL_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 78
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["social", "collect"])
def test_help_teaches(command: str) -> None:
    result = CliRunner().invoke(app, ["feed", command, "--help"])
    assert result.exit_code == 0
    assert "CHCTL_" in result.stdout
