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


def commands(group: click.Command, path: str = "chctl") -> Iterator[tuple[str, str]]:
    """(command, first line of its help), of every command there is."""
    for name, command in sorted(getattr(group, "commands", {}).items()):
        if getattr(command, "commands", None):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", (command.help or "").strip().splitlines()[0]


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_the_first_line_of_its_help(command: str) -> None:
    assert f"| `{command}` | {COMMANDS[command]} |" in README


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `(chctl [^`]+)` \|", README, re.MULTILINE)) == set(COMMANDS)


def test_every_place_on_the_map_exists() -> None:
    block = README.split("## The map")[1].split("```")[1]
    places = [line.split()[0] for line in block.splitlines() if line.strip()]
    assert len(places) > 10
    assert [place for place in places if not (PROJECT_DIR / place).exists()] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [target for target in targets if "://" not in target and not (PROJECT_DIR / target).exists()] == []
