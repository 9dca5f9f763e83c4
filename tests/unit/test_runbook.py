"""docs/operations.md is true: its commands exist, the files that it names exist, and a backup comes back whole."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from chctl.settings import PROJECT_DIR, Settings
from cli import app

TEXT = (PROJECT_DIR / "docs" / "operations.md").read_text()
BLOCKS = "\n".join(re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
INLINE = re.findall(r"`((?:\.venv/bin/)?chctl [^`]+)`", TEXT)
COMMANDS = sorted({line.split("#")[0].strip() for line in BLOCKS.splitlines() if "chctl " in line} | set(INLINE))


def _check(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]  # type: ignore[attr-defined]
    assert not hasattr(command, "commands") or not arguments, f"no such command: {arguments}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {a.split("=")[0] for a in arguments if a.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_and_its_options_exist(line: str) -> None:
    words = shlex.split(line)
    if words[0].endswith("chctl"):
        _check(words[1:])
    elif words[:3] == ["docker", "compose", "run"]:
        service = words[4]
        assert service in yaml.safe_load((PROJECT_DIR / "docker-compose.yml").read_text())["services"]
        _check(words[5:])


def test_every_rule_has_its_line() -> None:
    rules = set()
    for path in (PROJECT_DIR / "migrations").glob("*.sql"):
        for table in ("alert_rules", "rule_owners"):
            for insert in re.findall(rf"INSERT INTO {table} .*?;\n", path.read_text(), re.DOTALL):
                rules |= set(re.findall(r"^\s*\('(\w+)', '", insert, re.MULTILINE))
    section = TEXT.split("## What each alert means, and what to do")[1].split("\n## ")[0]
    assert rules == set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE))


def test_the_install_is_ten_commands_and_starts_nothing_before_there_are_secrets() -> None:
    install = TEXT.split("## Install on one server, in ten commands")[1].split("```sh\n")[1].split("```")[0]
    lines = install.strip().splitlines()
    assert len(lines) == 10
    assert [i for i, line in enumerate(lines) if "chctl init" in line] < [
        i for i, line in enumerate(lines) if "up -d" in line
    ]


def test_files_and_settings_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:deploy|feeders|tests|docs)/[\w./]+)`", TEXT):
        assert (PROJECT_DIR / path).exists(), path
    for path in re.findall(r"`((?:config\.d|users\.d|optional)/\w+\.xml)`", TEXT):
        assert (PROJECT_DIR / "deploy" / "clickhouse" / path).exists(), path
    files = ("docker-compose.yml", "chctl/init.py", "deploy/clickhouse/optional/kafka_sasl.xml")
    elsewhere = "".join((PROJECT_DIR / name).read_text() for name in files)
    for variable in re.findall(r"CHCTL_(\w+)", TEXT):
        assert variable.lower() in Settings.model_fields or f"CHCTL_{variable}" in elsewhere, variable


_REHEARSAL = """
import os, re, sys
from pathlib import Path
from chctl.sqltext import statements
project, folder = Path(sys.argv[1]), sys.argv[2]
os.chdir(folder)  # chDB reads config.xml of the working directory
config = (project / "deploy/clickhouse/config.d/backups.xml").read_text()
Path("config.xml").write_text(config.replace("/var/lib/clickhouse/backups/", f"{folder}/backups/"))
import chdb
connection = chdb.connect(f"{folder}/data?config-file={folder}/config.xml")
def run(sql):
    return str(connection.query(sql, "TSVRaw")).strip()
def state():
    return [run(f"SELECT count(), sum(cityHash64(*)) FROM {table}") for table in ("trades", "dash_trades_1s")]
def trade(number):
    run("INSERT INTO trades_in (event_time, venue, symbol, trade_id, price_ticks, quantity_lots, side) "
        f"SELECT now64(3), 'binance', 'BTCUSDT', number, 100 + number, 1, 'BUY' FROM numbers({number}, 500)")
run("CREATE DATABASE chctl ENGINE = Atomic")
run("USE chctl")
for name in ("migrations/0010_create_trades.sql", "migrations/0013_create_trades_1s.sql"):
    for one in statements((project / name).read_text()):
        run(one.sql)
run("CREATE TABLE trades_in AS trades ENGINE = Null")
run("CREATE MATERIALIZED VIEW trades_in_mv TO trades AS SELECT * FROM trades_in")
for one in statements((project / "views/dash/dash_trades_1s.sql").read_text()):
    run(one.sql)
trade(0)
before = state()
print(run("BACKUP DATABASE chctl TO File('chctl-2026-11-23')").split()[-1])
run("USE system")
run("DROP DATABASE chctl")
print(run("RESTORE DATABASE chctl FROM File('chctl-2026-11-23')").split()[-1])
run("USE chctl")
print("same" if state() == before else f"{before} became {state()}", before[0].split()[0])
trade(500)  # the views live on
print(run("SELECT count() FROM trades"))
try:
    run("BACKUP DATABASE chctl TO File('/tmp/elsewhere')")
except RuntimeError as error:
    print("refused" if "allowed" in str(error) else error)
"""


def test_a_backup_comes_back_whole_and_views_live_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _REHEARSAL, str(PROJECT_DIR), str(tmp_path)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["BACKUP_CREATED", "RESTORED", "same 500", "1000", "refused"]
