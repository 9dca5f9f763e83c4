"""`chctl doctor`: says that a watched system is well, and names what is broken in it when it is."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from chctl import doctor, lag, topics
from chctl.answers import select
from chctl.clickhouse import connect
from chctl.contracts import load_all
from chctl.doctor import Check
from chctl.settings import PROJECT_DIR, Settings
from cli import app
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for
from tests.whole import Start


def look(s: Settings, check: str = "", subject: str = "") -> list[Check]:
    return [one for one in doctor.examine(s) if check in ("", one.check) and subject in ("", one.subject)]


def the(s: Settings, check: str, subject: str) -> Check:
    (found,) = look(s, check, subject)
    return found


@pytest.fixture(autouse=True, scope="module")
def _room_on_the_disk(system: Settings) -> None:
    """Any disk is roomy here: how full this machine's is says nothing about chctl."""
    with connect(system) as client:
        _set(client, disk_free_share=0.0001)
    wait_for(lambda: the(system, "disk_free", "default").status == "ok")


def test_a_system_that_is_well_has_nothing_failing(system: Settings) -> None:
    checks = doctor.examine(system)
    assert [one for one in checks if one.status == "fail"] == []
    kinds = {one.check for one in checks}
    assert kinds >= {"node", "version", "clock", "schema", "broker", "topic", "lag", "consumer", "refresh"}
    assert kinds >= {"dictionary", "parts", "ttl", "disk_free", "disk_days", "heartbeat"}
    assert {one.subject for one in checks if one.check == "topic"} == {
        contract.topic for contract in load_all(PROJECT_DIR / "contracts")
    }
    # the one thing to look at: no alert feeder runs here
    assert {one.check for one in checks if one.status == "warn"} == {"heartbeat"}
    assert doctor.exit_code(checks) == 2


def test_the_command_tells_people_programs_and_prometheus_the_same(
    system: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chctl.settings.settings", lambda: system)
    said = CliRunner().invoke(app, ["doctor"])
    assert said.exit_code == 2
    assert said.stdout.startswith("WARN  heartbeat  alert_path: no heartbeat yet")
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    metrics = CliRunner().invoke(app, ["doctor", "--prometheus"]).stdout
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    told = {(s.labels["check"], s.labels["subject"]): s.value for s in families["chctl_health"].samples}
    assert told == {(row["check"], row["subject"]): doctor.ORDER[row["status"]] for row in rows}


def test_no_node_and_no_broker_are_two_failures_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Settings().model_copy(update={"clickhouse_url": "http://127.0.0.1:1", "kafka_brokers": "127.0.0.1:1"})
    monkeypatch.setattr(topics, "TIMEOUT_SECONDS", 1.0)
    checks = doctor.examine(nowhere)
    assert [(one.check, one.status) for one in checks] == [("broker", "fail"), ("node", "fail")]
    assert all(one.todo for one in checks)
    assert doctor.exit_code(checks) == 1


def test_a_topic_that_is_missing_and_one_that_differs(system: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    contracts = load_all(PROJECT_DIR / "contracts")
    changed = [
        msgspec.structs.replace(c, topic="never_made")
        if c.topic == "social_raw"
        else msgspec.structs.replace(c, partitions=c.partitions + 1)
        if c.topic == "market_l2"
        else c
        for c in contracts
    ]
    monkeypatch.setattr(doctor, "load_all", lambda _: changed)
    topics_found = {one.subject: one for one in look(system, "topic")}
    assert topics_found["never_made"].status == "fail"
    assert topics_found["market_l2"].status == "warn"
    assert topics_found["market_trades"].status == "ok"


def test_rows_that_are_refused_are_counted_against_those_that_are_stored(system: Settings) -> None:
    producer = Producer({"bootstrap.servers": system.kafka_brokers})
    for number in range(20):
        producer.produce("frontend_events", f'{{"never": "valid {number}"}}'.encode())
    assert producer.flush(10) == 0
    found = wait_for(lambda: [one for one in look(system, "rejects") if one.value == 1.0])[0]
    assert (found.subject, found.status) == ("frontend_events", "fail")
    assert "20 of 20 rows" in found.says


def test_a_consumer_whose_view_is_busy_for_too_long_has_stopped_polling(system: Settings) -> None:
    health = "SELECT status, says FROM dash_health WHERE (check = 'consumer') AND (subject = 'kafka_heartbeats')"
    with connect(system) as client, _behind_heartbeats(client, "sleepEachRow(2.9)"):
        _set(client, consumer_silent_s=1)
        try:
            _beat(system)
            wait_for(lambda: select(client, health) == [{"status": "fail", "says": "has stopped polling"}])
            wait_for(lambda: select(client, health)[0]["status"] == "ok")
        finally:
            _set(client, consumer_silent_s=60)


def test_a_view_that_throws_is_a_failing_consumer_with_the_reason(system: Settings) -> None:
    with connect(system) as client, _behind_heartbeats(client, "throwIf(1, 'broken on purpose') = 0"):
        _beat(system)
        failing = wait_for(lambda: _failing(system, "consumer", "kafka_heartbeats"))
        assert "broken on purpose" in failing.says


def test_a_heartbeat_that_nobody_delivers(system: Settings) -> None:
    _beat(system)  # the node makes an alert of it; no feeder runs that would have it back
    assert "none was delivered" in wait_for(lambda: _failing(system, "heartbeat", "alert_path")).says


@pytest.mark.kafka
def test_a_view_that_throws_is_a_failing_consumer_with_the_reason_and_a_lag(
    whole_node: Start, apache_kafka: ApacheKafka
) -> None:
    """And goes on by itself, without a loss, where the view is mended."""
    node = whole_node(brokers=apache_kafka.brokers)
    s = node.settings()
    group = "chctl.clickhouse.frontend_events"
    seen = "SELECT count() FROM frontend_actions WHERE session_id = 'doctor'"
    with connect(s) as client:
        _click(s, "first", age_s=0)
        wait_for(lambda: client.command(seen) == 1)
        wait_for(lambda: lag.read(s, [(group, "frontend_events")]) == [lag.Lag(group, "frontend_events", 0, 0.0)])
        client.command(
            "CREATE MATERIALIZED VIEW broken_mv TO rejected_events AS "
            "SELECT topic, throwIf(1, 'broken on purpose') = 0 AS partition, raw FROM frontend_events_landing"
        )
        _click(s, "second", age_s=400)
        assert "broken on purpose" in wait_for(lambda: _failing(s, "consumer", "kafka_frontend_events")).says
        behind = wait_for(lambda: _failing(s, "lag", group))
        assert behind.says.startswith("1 messages behind, the oldest waits for 4")
        assert client.command(f"{seen} AND event_id = 'first'") == 1
        client.command("DROP TABLE broken_mv")
        wait_for(lambda: the(s, "lag", group).status == "ok")
        assert client.command("SELECT uniqExact(event_id) FROM frontend_actions WHERE session_id = 'doctor'") == 2
    node.stop()


def test_a_view_that_cannot_be_refreshed_a_dictionary_that_cannot_be_read_and_a_mutation_that_cannot_end(
    system: Settings,
) -> None:
    with connect(system) as client:
        client.command("CREATE TABLE ill (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
        client.command("INSERT INTO ill VALUES (1, 'x')")
        client.command(
            "CREATE MATERIALIZED VIEW ill_mv REFRESH EVERY 1 SECOND APPEND TO ill AS "
            "SELECT toUInt64(throwIf(1, 'cannot refresh')) AS id, '' AS text"
        )
        client.command(
            "CREATE DICTIONARY ill_dictionary (id UInt64, text String) PRIMARY KEY id "
            "SOURCE(CLICKHOUSE(QUERY 'SELECT id, text FROM no_such_table')) LAYOUT(FLAT()) LIFETIME(1)"
        )
        client.command(
            "ALTER TABLE ill UPDATE text = toString(throwIf(1, 'cannot mutate')) WHERE 1 SETTINGS mutations_sync = 0"
        )
        try:
            with pytest.raises(DatabaseError):
                client.command("SYSTEM RELOAD DICTIONARY ill_dictionary")
            assert "cannot refresh" in wait_for(lambda: _failing(system, "refresh", "ill_mv")).says
            assert "no_such_table" in wait_for(lambda: _failing(system, "dictionary", "ill_dictionary")).says
            assert "cannot mutate" in wait_for(lambda: _failing(system, "mutation", "ill")).says
        finally:
            client.command("DROP TABLE ill_mv")
            client.command("DROP DICTIONARY ill_dictionary")
            client.command("KILL MUTATION WHERE table = 'ill'")
            client.command("DROP TABLE ill")


def test_parts_that_are_not_merged_and_rows_that_outlive_their_ttl(system: Settings) -> None:
    with connect(system) as client:
        client.command(
            "CREATE TABLE old (at DateTime) ENGINE = MergeTree ORDER BY at TTL at + INTERVAL 10 DAY "
            "SETTINGS ttl_only_drop_parts = 1"
        )
        try:
            client.command("SYSTEM STOP MERGES old")
            for days in (20, 21, 22):
                client.command(f"INSERT INTO old SELECT now() - INTERVAL {days} DAY")
            late = wait_for(lambda: _failing(system, "ttl", "old"))
            assert late.value == pytest.approx(12 * 86_400, abs=60)
            _set(client, parts_share=0.0005)  # of 3000
            assert wait_for(lambda: _failing(system, "parts", "old")).says.startswith("3 active parts")
        finally:
            _set(client, parts_share=0.5)
            client.command("DROP TABLE old")


def test_a_disk_that_will_be_full_before_rows_expire(system: Settings) -> None:
    a_fifth = "(SELECT free_space FROM system.disks WHERE name = 'default') / 5"
    with connect(system) as client:
        client.command("RENAME TABLE dash_storage TO dash_storage_real")
        try:
            client.command(
                "CREATE VIEW dash_storage AS "
                f"SELECT * REPLACE (toNullable({a_fifth}) AS day_bytes, toUInt64(1) AS days) "
                "FROM dash_storage_real LIMIT 1"
            )
            _set(client, disk_days=7)
            late = wait_for(lambda: _failing(system, "disk_days", "default"))
            assert late.value == pytest.approx(5, rel=0.05)
            assert late.says.startswith("full in ")
            _set(client, disk_days=1)
            wait_for(lambda: the(system, "disk_days", "default").status == "ok")
        finally:
            client.command("DROP TABLE IF EXISTS dash_storage")
            client.command("RENAME TABLE dash_storage_real TO dash_storage")


def test_a_node_without_the_view_of_its_health(system: Settings) -> None:
    with connect(system) as client:
        client.command("RENAME TABLE dash_health TO dash_health_away")
        try:
            found = the(system, "views", "dash_health")
            assert (found.status, found.says) == ("fail", "is not there")
        finally:
            client.command("RENAME TABLE dash_health_away TO dash_health")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's files, to change."""
    for name in ("migrations", "views", "contracts", "templates"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name)
    return tmp_path


def test_a_file_that_is_not_applied_yet(system: Settings, project: Path) -> None:
    view = "-- A view. Grain: one row. Read by: nobody.\nCREATE VIEW IF NOT EXISTS dash_new AS\nSELECT 1 AS one;\n"
    (project / "views" / "dash" / "dash_new.sql").write_text(view)
    found = the(system.model_copy(update={"project_dir": project}), "schema", system.clickhouse_database)
    assert (found.status, found.says) == ("warn", "1 files pending")


def test_an_applied_migration_that_was_edited(system: Settings, project: Path) -> None:
    path = project / "migrations" / "0010_create_trades.sql"
    path.write_text(path.read_text().replace("INTERVAL 30 DAY", "INTERVAL 31 DAY"))
    found = the(system.model_copy(update={"project_dir": project}), "schema", system.clickhouse_database)
    assert found.status == "fail"
    assert path.name.removesuffix(".sql").split("_")[0] in found.says


def test_a_contract_that_cannot_be_read(system: Settings, project: Path) -> None:
    (project / "contracts" / "market_l2.yaml").write_text("topic: [")
    checks = look(system.model_copy(update={"project_dir": project}), "contracts")
    assert [(one.status, "market_l2.yaml" in one.says) for one in checks if one.subject == "broker"] == [("fail", True)]


def test_a_release_that_is_too_old(system: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST", (99, 1))
    found = the(system, "version", "clickhouse")
    assert (found.status, found.says.split(" is ")[1]) == ("fail", "older than 99.1")


@pytest.mark.parametrize(
    ("clock", "status", "says"),
    [(100.05, "ok", "within"), (103.0, "warn", "2.9 s ahead of ours"), (80.0, "fail", "19.9 s behind ours")],
)
def test_the_clock_of_the_node_beside_ours(clock: float, status: str, says: str) -> None:
    found = doctor.skew(clock, sent=99.9, back=100.1)
    assert (found.status, says in found.says) == (status, True), found


@pytest.mark.kafka
def test_seconds_of_lag_are_the_age_of_the_oldest_unread_message(apache_kafka: ApacheKafka) -> None:
    name = f"lagging_{uuid.uuid4().hex[:8]}"
    s = Settings().model_copy(update={"kafka_brokers": apache_kafka.brokers})
    admin = AdminClient({"bootstrap.servers": s.kafka_brokers})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    now = int(time.time() * 1000)
    for age, partition in ((500, 0), (40, 0), (90, 1)):
        producer.produce(name, b"x", partition=partition, timestamp=now - age * 1000)
    assert producer.flush(10) == 0
    assert lag.read(s, [("chctl.nobody", name)]) == [lag.Lag("chctl.nobody", name, 3, None)]
    slow = Consumer({"bootstrap.servers": s.kafka_brokers, "group.id": "chctl.slow"})
    slow.commit(offsets=[TopicPartition(name, 0, 1)], asynchronous=False)
    slow.close()
    (found,) = lag.read(s, [("chctl.slow", name)])
    assert found.messages == 2
    assert found.seconds == pytest.approx(90, abs=30)


def test_what_the_node_calls_a_failure_becomes_an_alert_and_ends(system: Settings) -> None:
    """The refreshed views of the rule health, sooner than their clocks say."""
    with connect(system) as client:
        _set(client, disk_free_share=2, persist_signals=1)
        wait_for(lambda: the(system, "disk_free", "default").status == "fail")
        _refresh(client, "alert_health_mv")
        opened = "SELECT entity, severity FROM alerts_open WHERE rule = 'health' AND entity = 'disk_free:default'"
        wait_for(lambda: select(client, opened) == [{"entity": "disk_free:default", "severity": "critical"}])
        _set(client, disk_free_share=0.0001, resolve_s=1, flap_s=0)
        wait_for(lambda: the(system, "disk_free", "default").status == "ok")

        def ended() -> bool:
            _refresh(client, "alerts_resolved_by_health_mv")
            return select(client, opened) == []

        wait_for(ended)


def _failing(s: Settings, check: str, subject: str) -> Check | None:
    return next((one for one in look(s, check, subject) if one.status == "fail"), None)


def _beat(s: Settings) -> None:
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    producer.produce("heartbeats", msgspec.json.encode({"sender": "doctor", "sent_time": int(time.time() * 1000)}))
    assert producer.flush(10) == 0


def _click(s: Settings, event_id: str, age_s: int) -> None:
    """A valid row whose message is that old."""
    at = int(time.time() * 1000)
    row = {"event_id": event_id, "event_time": at, "receive_time": at * 1000, "session_id": "doctor", "event_type": "x"}
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    producer.produce("frontend_events", msgspec.json.encode(row), timestamp=at - age_s * 1000)
    assert producer.flush(10) == 0


@contextmanager
def _behind_heartbeats(client: Client, expression: str) -> Iterator[None]:
    """A view behind the topic heartbeats that computes this for every row."""
    client.command(
        "CREATE MATERIALIZED VIEW broken_mv TO rejected_events AS "
        f"SELECT topic, {expression} AS partition, sender AS raw FROM heartbeats_landing"
    )
    try:
        yield
    finally:
        client.command("DROP TABLE broken_mv")


def _set(client: Client, **values: float) -> None:
    rows = [["health", "*", name, value, "test"] for name, value in values.items()]
    client.insert("alert_rules", rows, column_names=["rule", "scope", "parameter", "value", "note"])


def _refresh(client: Client, view: str) -> None:
    client.command(f"SYSTEM REFRESH VIEW {view}")
    client.command(f"SYSTEM WAIT VIEW {view}")
