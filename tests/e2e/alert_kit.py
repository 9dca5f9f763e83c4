"""What the tests of alerts share: the tables on a real node, alerts in the outbox, feeders as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer

from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import statements

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: The tables of the outbox and of the events behind alerts, without the Kafka table behind the outbox: a test that
#: wants the topic writes to it.
MIGRATIONS = (
    "create_book_deltas",
    "create_alert_rules",
    "create_alerts",
    "create_alert_deliveries",
    "create_user_orders",
    "create_user_transfers",
    "create_alert_feeder_leases",
    "extend_alert_deliveries",
    "create_alert_silences",
    "create_alert_acks",
    "create_rule_owners",
    "create_alert_rule_changes",
    "create_alert_plans",
)
VIEWS = (
    "alert_rules_now",
    "alert_thresholds",
    "alerts_open",
    "alerts_held",
    "alerts_due",
    "alerts_history",
    "alert_rule_changes_mv",
    "alert_delivery_failed_mv",
)


def create_tables(client: Client, views: Iterable[str] = VIEWS) -> None:
    """The project's own migrations and views of alerts, in the test's database."""
    files = [path for name in MIGRATIONS for path in (PROJECT_DIR / "migrations").glob(f"[0-9]*_{name}.sql")]
    assert len(files) == len(MIGRATIONS)
    files += [PROJECT_DIR / "views" / "alerts" / f"{name}.sql" for name in views]
    for path in files:
        for statement in statements(path.read_text()):
            client.command(statement.sql)
    # Alerts of tests come back at once and shall be told: test_what_flaps_is_told_if_it_lasts has a rule of its own.
    client.command("INSERT INTO alert_rules (rule, scope, parameter, value) VALUES ('test_rule', '*', 'flap_s', 0)")


def raise_alerts(client: Client, rows: Iterable[dict[str, Any]]) -> None:
    """Put alerts into the outbox as a rule would; what a row does not say is filled in."""
    for_all = {
        "rule": "test_rule",
        "severity": "warning",
        "status": "firing",
        "entity": "binance:BTCUSDT",
        "venue": "binance",
        "symbol": "BTCUSDT",
        "user_id": 0,
        "value": 3.0,
        "baseline": 10.0,
        "threshold": 5.0,
        "summary": "depth fell",
        "evidence": "{}",
    }
    full = [for_all | row for row in rows]
    columns = [*for_all, "alert_id"]
    client.insert(
        "alerts",
        [[row[c] for c in columns] + [round(row.get("raised_time", time.time()) * 1000)] * 3 for row in full],
        column_names=[*columns, "started_time", "event_time", "raised_time"],
    )


def publish(s: Settings, *alerts: dict[str, object]) -> None:
    """Rows on the topic, as the node writes them."""
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    now = int(time.time() * 1000)
    for alert in alerts:
        row = {
            "rule": "test_rule",
            "severity": "warning",
            "status": "firing",
            "entity": "binance:BTCUSDT",
            "started_time": now,
            "event_time": now,
            "raised_time": now,
        } | alert
        producer.produce(s.alerts_topic, msgspec.json.encode(row), key=str(alert["alert_id"]))
    assert producer.flush(10) == 0


def deliveries(client: Client, *outcomes: str) -> list[tuple[str, str, str, str]]:
    """(alert_id, status, channel, outcome) on record, oldest first."""
    rows = client.query(
        "SELECT alert_id, status, channel, outcome FROM alert_deliveries ORDER BY attempted_time, attempt"
    ).result_rows
    return [tuple(row) for row in rows if not outcomes or row[3] in outcomes]


@dataclass
class Feeder:
    """`chctl feed alerts` as a process; `log` collects its stderr."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def start_feeder(s: Settings, *arguments: str, **environment: str) -> Feeder:
    """Start the real command against the node and broker of `s`."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CHCTL_")} | {
        "CHCTL_CLICKHOUSE_URL": s.clickhouse_url,
        "CHCTL_CLICKHOUSE_DATABASE": s.clickhouse_database,
        "CHCTL_KAFKA_BROKERS": s.kafka_brokers,
        "CHCTL_ALERTS_TOPIC": s.alerts_topic,
        "CHCTL_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1/32",
        "CHCTL_WEBHOOK_SECRET": SECRET,
        "CHCTL_HEARTBEAT_S": "0",  # test_heartbeat.py has its own
        "CHCTL_ALERTS_LEASE_S": "3",
        "CHCTL_ALERTS_REVIEW_S": "0.3",
        "CHCTL_ALERTS_SWEEP_S": "0.2",
        "CHCTL_LOG_FORMAT": "json",
        **environment,
    }
    command = [str(Path(sys.executable).parent / "chctl"), "feed", "alerts", *arguments]
    return Feeder(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
