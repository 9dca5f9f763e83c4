"""The README is the front door: what it says of commands and folders is true."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from typer.main import get_command

from chctl.settings import PROJECT_DIR
from cli import app

README = (PROJECT_DIR / "README.md").read_text()


#: Commands that do or write something, or run until they are stopped. Every other reads, and so has --json.
WRITING = {
    *("chctl access apply", "chctl adopt", "chctl baseline"),
    *("chctl cluster", "chctl contracts render", "chctl dashboards render", "chctl init", "chctl migrate"),
    *("chctl feed alerts", "chctl feed beacon", "chctl feed collect", "chctl feed market", "chctl feed social"),
    *("chctl new migration", "chctl new rule", "chctl new stream", "chctl new view", "chctl rollback"),
    *("chctl topics apply", "chctl tune", "chctl units"),
}


def commands(group: click.Command, path: str = "chctl") -> Iterator[tuple[str, click.Command]]:
    """Every command there is, by its words."""
    for name, command in sorted(getattr(group, "commands", {}).items()):
        if getattr(command, "commands", None):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(get_command(app)))
COMMANDS = {name: (command.help or "").strip().splitlines()[0] for name, command in ALL.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_the_first_line_of_its_help(command: str) -> None:
    assert f"| `{command}` | {COMMANDS[command]} |" in README


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `(chctl [^`]+)` \|", README, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(ALL.keys() - WRITING))
def test_every_reading_command_speaks_to_machines(command: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[command].params)


def test_every_place_on_the_map_exists() -> None:
    block = README.split("## The map")[1].split("```")[1]
    places = [line.split()[0] for line in block.splitlines() if line.strip()]
    assert len(places) > 10
    assert [place for place in places if not (PROJECT_DIR / place).exists()] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [target for target in targets if "://" not in target and not (PROJECT_DIR / target).exists()] == []
