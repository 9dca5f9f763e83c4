"""TLS for real: Apache Kafka with SASL_SSL and feeders between, the node by HTTPS.

The certificates are those that `chctl init` makes, the passwords stand in files of CHCTL_SECRETS_DIR.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr

from chctl import doctor, init, plan, topics
from chctl.answers import select
from chctl.clickhouse import connect
from chctl.contracts import load_all
from chctl.migrate import migrate
from chctl.node.run import NodeProcess, start_process
from chctl.settings import PROJECT_DIR, Settings
from feeders.runtime import Publisher, Reader
from tests.conftest import required_kafka
from tests.kafka.server import ApacheKafka, Login
from tests.waiting import wait_for
from tests.whole import lay

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make certificates"),
]
PASSWORD = secrets.token_urlsafe(18)


@dataclass(frozen=True)
class Secured:
    """Everything up and applied, and what is needed to get in."""

    settings: Settings
    environment: dict[str, str]
    node: NodeProcess
    kafka: ApacheKafka


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Iterator[Secured]:
    required_kafka()
    folder = tmp_path_factory.mktemp("tls")
    pem = init.certificates(("127.0.0.1", "localhost"))
    ca, certificate, key = folder / "ca.crt", folder / "server.crt", folder / "server.key"
    ca.write_text(pem["CHCTL_TLS_CA"])
    certificate.write_text(pem["CHCTL_TLS_CERTIFICATE"])
    key.write_text(pem["CHCTL_TLS_KEY"])
    (folder / "secrets").mkdir()
    (folder / "secrets" / "chctl_kafka_sasl_password").write_text(PASSWORD)
    login = Login("chctl", PASSWORD, ca, pem["CHCTL_TLS_CERTIFICATE"], pem["CHCTL_TLS_KEY"])
    kafka = ApacheKafka(folder / "kafka", login)
    environment = {
        "CHCTL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "CHCTL_KAFKA_CA": str(ca),
        "CHCTL_KAFKA_SASL_USERNAME": "chctl",
        "CHCTL_SECRETS_DIR": str(folder / "secrets"),
        "CHCTL_CLICKHOUSE_CA": str(ca),
    }
    node: NodeProcess | None = None
    try:
        kafka.start()
        tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
        s = Settings().model_copy(
            update={
                "kafka_brokers": kafka.brokers,
                "clickhouse_ca": ca,
                "kafka_ca": ca,
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_username": "chctl",
                "kafka_sasl_password": SecretStr(PASSWORD),
            }
        )
        lay(folder / "node", schema, s)
        node = start_process(folder / "node", *tls, brokers=kafka.brokers, environment=environment)
        s = s.model_copy(update={"clickhouse_url": node.url, "data_dir": node.data_dir})
        yield Secured(s, environment, node, kafka)
    finally:
        if node:
            node.kill()
        kafka.kill()


def test_rows_go_from_feeder_to_feeder_by_sasl_ssl(secured: Secured) -> None:
    contract = next(c for c in load_all(PROJECT_DIR / "contracts") if c.topic == "market_trades")
    now = int(time.time() * 1000)
    publisher = Publisher(secured.settings)
    for number in range(1000):
        row = contract.examples.valid[0] | {"trade_id": number, "event_time": now, "receive_time": now * 1000}
        publisher.add("market_trades", "binance:BTCUSDT", msgspec.json.encode(row))
    assert publisher.close(30) == 0
    reader = Reader(secured.settings, "chctl.test_tls", ["market_trades"])
    read: list[bytes] = []

    def everything() -> bool:
        read.extend(line for message in reader.read() for line in (message.value() or b"").split(b"\n"))
        return len(read) == 1000

    wait_for(everything)
    reader.close()


def test_migrate_and_plan_run_over_https(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001_create_notes.sql").write_text(
        "CREATE TABLE IF NOT EXISTS notes (n UInt8) ENGINE = MergeTree ORDER BY n;\n"
    )
    (tmp_path / "views").mkdir()
    (tmp_path / "views/total.sql").write_text("CREATE VIEW IF NOT EXISTS total AS SELECT sum(n) AS n FROM notes\n")
    settings = secured.settings.model_copy(update={"project_dir": tmp_path, "clickhouse_database": "over_tls"})
    assert settings.clickhouse_url.startswith("https://")
    assert plan.read(settings).exit_code == 2
    report = migrate(settings)
    assert (report.migrations, [c.object for c in report.changes]) == (["0001_create_notes.sql"], ["total"])
    assert plan.read(settings).empty


def test_the_doctor_names_what_the_embedded_engine_lacks(secured: Secured) -> None:
    """chDB's librdkafka is built without OpenSSL: only a server's Kafka tables can speak SASL_SSL."""
    assert secured.settings.clickhouse_url.startswith("https://")

    def failing() -> list[str]:
        checks = doctor.examine(secured.settings)
        mine = [one for one in checks if (one.check, one.subject) == ("consumer", "kafka_market_trades")]
        return [one.says for one in mine if one.status == "fail"]

    (said,) = wait_for(failing)
    assert "No provider for SASL mechanism SCRAM-SHA-256" in said


def test_the_password_stands_in_no_ddl_no_argument_and_no_log(secured: Secured) -> None:
    with connect(secured.settings) as client:
        ddl = [row["ddl"] for row in select(client, "SELECT create_table_query AS ddl FROM system.tables")]
        history = [str(row) for row in select(client, "SELECT * FROM chctl_history")] if _has(ddl) else []
    kafka_tables = [text for text in ddl if "ENGINE = Kafka" in text]
    assert len(kafka_tables) > 5
    assert all(re.search(r"ENGINE = Kafka\(chctl_kafka\)", text) for text in kafka_tables)
    shown = [*ddl, *history, secured.node.log()]
    shown += [path.read_text() for path in (secured.node.data_dir.parent / "kafka").glob("*.log")]
    shown.append(Path(f"/proc/{secured.node.pid}/cmdline").read_text())
    assert [text[:200] for text in shown if PASSWORD in text] == []
    config = secured.node.data_dir / "config.xml"
    assert PASSWORD in config.read_text()  # the search would have found it
    assert config.stat().st_mode & 0o077 == 0


def _has(ddl: list[str]) -> bool:
    return any("chctl_history" in text for text in ddl)


@pytest.mark.parametrize(
    "change",
    [
        {"kafka_sasl_password": SecretStr("wrong")},
        {"kafka_security_protocol": "PLAINTEXT"},
        {"kafka_ca": Path("/etc/ssl/certs/ca-certificates.crt")},
    ],
    ids=["wrong password", "no TLS", "another authority"],
)
def test_the_broker_and_the_client_refuse_what_is_wrong(
    secured: Secured, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "TIMEOUT_SECONDS", 3.0)
    with pytest.raises(topics.TopicsError, match="no broker answers"):
        topics.read(secured.settings.model_copy(update=change), [])


def test_the_client_refuses_a_node_that_its_authority_did_not_sign(secured: Secured) -> None:
    with pytest.raises(Error):
        connect(secured.settings.model_copy(update={"clickhouse_ca": None}), timeout=5)
