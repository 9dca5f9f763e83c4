"""docker-compose.yml and `chctl init`, read as files: no Docker runs here, so whatever a name points to is checked."""

from __future__ import annotations

import hashlib
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from chctl.settings import PROJECT_DIR, Settings
from cli import app
from tests.docker.conftest import COMPOSE as TEST_FILE
from tests.docker.conftest import PORTS

FILE = PROJECT_DIR / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("chctl:")}
ACCESS = (PROJECT_DIR / "deploy" / "clickhouse" / "access.sql").read_text()


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `chctl init` writes, as compose reads it."""
    path = tmp_path_factory.mktemp("init") / ".env"
    result = CliRunner().invoke(app, ["init", "--out", str(path), "--host", "chctl.example", "--host", "10.1.2.3"])
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    return {name: value.strip('"').replace("\\n", "\n") for name, value in found.items()}


def _secrets(service: dict[str, Any]) -> list[dict[str, str]]:
    return [{"source": s, "target": s} if isinstance(s, str) else s for s in service.get("secrets", [])]


def test_it_fits_the_compose_specification(tmp_path: Path) -> None:
    check = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(FILE.read_text().replace("mem_limit:", "memory_limit:", 1))
    assert subprocess.run([*check, broken], capture_output=True, check=False).returncode == 1


def test_the_docker_tests_have_the_same_images_and_publish_the_ports_they_ask_for() -> None:
    check = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, TEST_FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = TEST_FILE.read_text()
    assert "${" not in text, "needs no .env"
    services = yaml.safe_load(text)["services"]
    for name, port in PORTS.items():
        assert services[name]["image"] == SERVICES[name]["image"]
        (published,) = services[name]["ports"]
        assert published.startswith("127.0.0.1:")
        assert published.endswith(f":{port}")
    kafka = services["kafka"]["environment"]
    assert f"OUTSIDE://127.0.0.1:{PORTS['kafka']}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert (
        f"INSIDE://{services['clickhouse']['environment']['CHCTL_KAFKA_BROKERS']},"
        in (kafka["KAFKA_ADVERTISED_LISTENERS"])
    )
    (volume,) = services["clickhouse"]["volumes"]
    assert (TEST_FILE.parent / volume.split(":")[0]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_limited_and_supervised(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), "an exact version"
    assert {"mem_limit", "restart", "logging", "networks"} <= set(service)
    assert not service.get("privileged")
    one_shot = service["restart"].startswith("on-failure")
    background = name in ("otel", "hyperdx", "market", "social", "alerts")  # nothing to ask them by
    assert one_shot or background or "healthcheck" in service


def test_a_service_with_secrets_of_the_environment_is_writable() -> None:
    """Compose copies such secrets into the container and refuses to where the root is read-only; others are closed."""
    assert not [name for name, service in SERVICES.items() if service.get("read_only") and _secrets(service)]
    closed = {name for name, service in OURS.items() if service.get("read_only")}
    assert closed == {name for name, service in OURS.items() if not _secrets(service)}


def test_every_port_is_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    outside = [port.split(":")[1] for port in ports]
    assert len(set(outside)) == len(outside)


@pytest.mark.parametrize("name", OURS)
def test_a_command_exists(name: str) -> None:
    arguments = list(OURS[name]["command"])
    command = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]  # type: ignore[attr-defined]
    assert not hasattr(command, "commands"), "a command, not a group"
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(arguments[::2]) <= known, "options, each with its value"
    assert len(arguments) % 2 == 0


@pytest.mark.parametrize("name", OURS)
def test_variables_and_secrets_are_settings(name: str) -> None:
    variables = {variable.removeprefix("CHCTL_").lower() for variable in OURS[name]["environment"]}
    assert variables <= set(Settings.model_fields)
    users = set(re.findall(r"CREATE USER IF NOT EXISTS (\w+)", ACCESS))
    for secret in _secrets(OURS[name]):
        target = secret["target"]
        known = target == "ca.crt" or target.removeprefix("chctl_") in Settings.model_fields
        assert known or (name == "access" and target in users), target
        assert secret["uid"] == "10001", "the image's user must be able to read it"


def test_the_access_service_has_a_password_for_every_user() -> None:
    targets = {secret["target"] for secret in _secrets(SERVICES["access"])}
    assert set(re.findall(r"'\$(\w+)'", ACCESS)) <= targets


def test_a_service_logs_in_as_a_user_that_exists_with_that_users_password() -> None:
    for name, service in OURS.items():
        passwords = [s["source"] for s in _secrets(service) if s["target"] == "chctl_clickhouse_password"]
        user = service["environment"].get("CHCTL_CLICKHOUSE_USER")
        assert bool(user) == bool(passwords), name
        if user:
            assert passwords == [f"{user.removeprefix('chctl_')}_password"], name
            assert user == "chctl_admin" or f"CREATE USER IF NOT EXISTS {user} " in ACCESS
            assert "storage" in service["networks"], name


def test_every_mounted_file_is_in_the_repository_and_every_volume_declared() -> None:
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (PROJECT_DIR / source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), f"{name}: {volume}"
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_names_between_services_and_ports_fit() -> None:
    listening = {"clickhouse": {"8443", "9440", "9363"}, "kafka": {"9092"}, "mongo": {"27017"}, "otel": {"4318"}}
    text = FILE.read_text() + (PROJECT_DIR / "deploy/otel/collector.yaml").read_text()
    named = re.findall(rf"\b({'|'.join(SERVICES)}):(\d{{4,5}})\b", text)
    assert {host for host, _ in named} >= {"clickhouse", "kafka", "otel"}
    for host, port in named:
        assert port in listening[host], f"{host}:{port}"
    network = (PROJECT_DIR / "deploy/clickhouse/config.d/network.xml").read_text()
    assert set(re.findall(r"port[a-z_]*>(\d+)<", network)) == listening["clickhouse"]


def test_services_share_a_network_with_what_they_wait_for_and_talk_to() -> None:
    assert {n for s in SERVICES.values() for n in s["networks"]} == set(COMPOSE["networks"])
    for name, service in OURS.items():
        networks = set(service["networks"])
        for secret in _secrets(service):
            if secret["target"] == "chctl_mongo_uri":
                assert networks & set(SERVICES["mongo"]["networks"]), name
        if name != "access":
            assert networks & set(SERVICES["kafka"]["networks"]), name
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES


def test_configured_variables_of_clickhouse_are_given() -> None:
    wanted = set()
    for folder in ("config.d", "users.d"):
        for path in (PROJECT_DIR / "deploy" / "clickhouse" / folder).glob("*.xml"):
            wanted |= set(re.findall(r'from_env="(\w+)"', path.read_text()))
    assert wanted <= set(SERVICES["clickhouse"]["environment"])
    targets = {secret["target"] for secret in _secrets(SERVICES["clickhouse"])}
    network = (PROJECT_DIR / "deploy/clickhouse/config.d/network.xml").read_text()
    assert set(re.findall(r">(/etc/clickhouse-server/tls/[\w.]+)<", network)) == targets


def test_no_password_stands_in_the_file_and_init_makes_each(env: dict[str, str]) -> None:
    declared = {secret["environment"] for secret in COMPOSE["secrets"].values()}
    used = {s["source"] for service in SERVICES.values() for s in _secrets(service)}
    assert used == set(COMPOSE["secrets"])
    required = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    assert declared | required <= set(env)
    assert all(env[name] for name in declared)
    assert env["CHCTL_WEBHOOK_URL"] == env["CHCTL_HEARTBEAT_URL"] == "", (
        "only the operator knows it, and compose asks for it"
    )
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|KEY", variable):
                assert str(value).startswith(("${", "/run/secrets/")), f"{name}: {variable}"


def test_secrets_are_strong_and_never_the_same_twice(env: dict[str, str], tmp_path: Path) -> None:
    passwords = [value for name, value in env.items() if name.endswith("_PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 9
    assert all(len(password) == 32 for password in passwords)
    assert env["CHCTL_ADMIN_PASSWORD_SHA256"] == hashlib.sha256(env["CHCTL_ADMIN_PASSWORD"].encode()).hexdigest()
    other = tmp_path / "other.env"
    assert CliRunner().invoke(app, ["init", "--out", str(other)]).exit_code == 0
    assert not any(value in other.read_text() for value in passwords)


def test_the_certificate_is_for_the_server_and_signed_by_the_authority(env: dict[str, str], tmp_path: Path) -> None:
    for name in ("CA", "CERTIFICATE", "KEY"):
        (tmp_path / name).write_text(env[f"CHCTL_TLS_{name}"])
    for host in ("-verify_hostname=clickhouse", "-verify_hostname=chctl.example", "-verify_ip=10.1.2.3"):
        verify = ["openssl", "verify", "-CAfile", "CA", "-purpose", "sslserver", *host.split("="), "CERTIFICATE"]
        done = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    wrong = ["openssl", "verify", "-CAfile", "CA", "-verify_hostname", "elsewhere.example", "CERTIFICATE"]
    assert subprocess.run(wrong, cwd=tmp_path, capture_output=True, check=False).returncode != 0
    public = [
        subprocess.run(["openssl", *command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for command in (["x509", "-in", "CERTIFICATE", "-noout", "-pubkey"], ["pkey", "-in", "KEY", "-pubout"])
    ]
    assert public[0] == public[1]


def test_init_overwrites_nothing_not_even_through_a_link(tmp_path: Path) -> None:
    existing = tmp_path / ".env"
    existing.write_text("mine")
    assert CliRunner().invoke(app, ["init", "--out", str(existing)]).exit_code == 1
    assert existing.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert CliRunner().invoke(app, ["init", "--out", str(link)]).exit_code == 1
    assert not (tmp_path / "nowhere").exists()


def test_the_image_holds_what_the_commands_read_and_no_secret() -> None:
    dockerfile = (PROJECT_DIR / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    for name in copied:
        assert (PROJECT_DIR / name).exists(), name
    for folder in ("contracts", "migrations", "views", "templates", "chctl", "feeders"):
        assert folder in copied
    allowed = set(re.findall(r"^!(\S+)$", (PROJECT_DIR / ".dockerignore").read_text(), re.MULTILINE))
    assert allowed == copied
    assert ".env" in (PROJECT_DIR / ".gitignore").read_text().split()
    assert re.search(r"^USER chctl$", dockerfile, re.MULTILINE)
    uid = re.search(r"--uid (\d+)", dockerfile)
    assert uid
    assert uid[1] == "10001"
