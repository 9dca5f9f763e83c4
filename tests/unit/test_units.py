"""`chctl units`: units that are up to date, that systemd takes without a complaint, and that are locked down."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from chctl import units
from chctl.node import broker
from chctl.settings import PROJECT_DIR, Settings
from cli import app

NAMES = [unit.name for unit in units.UNITS]
analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian's package systemd)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All units in one folder, with an ExecStart that exists on this machine."""
    out = tmp_path_factory.mktemp("units")
    result = CliRunner().invoke(app, ["units", "--out", str(out), "--prefix", sys.prefix])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    return out


def _systemd_version() -> int:
    first = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"systemd (\d+)", first)[0])


def test_the_committed_units_are_what_the_command_renders() -> None:
    committed = {path.name: path.read_text() for path in (PROJECT_DIR / "deploy" / "systemd").glob("*.service")}
    assert committed == units.render(PROJECT_DIR), "run `chctl units` and commit what it writes"


@analyze
@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_nothing_to_say_against_it(folder: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(folder / name)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    if _systemd_version() < 254:  # it ignores the backoff, and says so; the restart itself it knows
        said = [line for line in said if not re.search(r"Unknown key.* '(RestartSteps|RestartMaxDelaySec)'", line)]
    assert said == []
    assert done.returncode == 0


@analyze
def test_verify_would_have_found_a_mistake(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "chctl-broken.service"
    broken.write_text((folder / "chctl-alerts.service").read_text().replace("ProtectProc=invisible", "ProtectProc=yes"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", broken], capture_output=True, text=True, check=False
    )
    assert "/proc/ protection mode" in done.stdout + done.stderr


@analyze
@pytest.mark.parametrize("name", NAMES)
def test_its_exposure_is_at_most_two(folder: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("unit", units.UNITS, ids=lambda unit: unit.kind)
def test_it_starts_a_command_that_exists_with_settings_that_exist(unit: units.Unit) -> None:
    arguments = unit.command.split()
    command = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]  # type: ignore[attr-defined]
    assert not hasattr(command, "commands"), f"{unit.command}: no such command"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    variables = [line.partition("=")[0] for line in unit.environment]
    assert {name.removeprefix("CHCTL_").lower() for name in variables} <= set(Settings.model_fields)


def test_a_secret_file_of_the_unit_becomes_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoadCredential=chctl:<directory> gives the file kafka_sasl_password the name chctl_kafka_sasl_password."""
    assert all(unit.credentials[0] == f"chctl:/etc/chctl/secrets/{unit.kind}" for unit in units.UNITS)
    (tmp_path / "chctl_kafka_sasl_password").write_text("from-a-file")
    monkeypatch.delenv("CHCTL_KAFKA_SASL_PASSWORD", raising=False)
    read = Settings(_secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert read.kafka_sasl_password.get_secret_value() == "from-a-file"


@pytest.mark.parametrize("arguments", [["feed", "beacon"], ["node", "--port=0", "--broker-port=0"]], ids=str)
def test_gateway_and_node_speak_the_protocol_of_type_notify(arguments: list[str], tmp_path: Path) -> None:
    """READY once, the watchdog while it works, STOPPING at SIGTERM; the feeders' own are in test_feeder_runtime."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(30)
        environment = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "400000",
            "CHCTL_DATA_DIR": str(tmp_path / "data"),
            "CHCTL_BEACON_PORT": "0",
            "CHCTL_BEACON_HASH_KEY": "0123456789abcdef",
            "CHCTL_BEACON_DRAIN_SECONDS": "0",
        }
        process = subprocess.Popen([sys.executable, "cli.py", *arguments], cwd=PROJECT_DIR, env=environment)
        try:
            said: Counter[str] = Counter()
            first = channel.recv(1000).decode().split("\n")
            assert first[0] == "READY=1"
            while said["WATCHDOG=1"] < 3:
                said.update(channel.recv(1000).decode().split("\n"))
            process.send_signal(signal.SIGTERM)
            while not said["STOPPING=1"]:
                said.update(channel.recv(1000).decode().split("\n"))
            assert process.wait(20) in (0, -signal.SIGTERM)  # systemd counts both as an orderly end
            assert said["READY=1"] == 0
        finally:
            process.kill()
            process.wait()
            broker.stop((tmp_path / "data").resolve())
