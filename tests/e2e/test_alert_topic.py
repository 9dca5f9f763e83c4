"""What the node writes to the topic `alerts` is what the feeder reads and what the contract says: no row is refused."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.contracts import load
from chctl.node.run import NodeProcess
from chctl.settings import PROJECT_DIR
from chctl.sqltext import statements
from feeders.alerting.topic import parse
from tests.e2e.alert_kit import create_tables, raise_alerts


def test_a_row_of_the_outbox_is_a_message_that_the_feeder_understands(fresh_node: Callable[..., NodeProcess]) -> None:
    s = fresh_node().settings()
    connect(s, database="").command("CREATE DATABASE chctl ENGINE = Atomic")
    client = connect(s)
    create_tables(client)
    kafka = AdminClient({"bootstrap.servers": s.kafka_brokers})
    kafka.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(10)
    client.query("SELECT name FROM system.named_collections")
    for pattern in ("migrations/*_create_to_kafka_alerts.sql", "views/alerts/to_kafka_alerts_mv.sql"):
        (path,) = PROJECT_DIR.glob(pattern)
        for statement in statements(path.read_text()):
            client.command(statement.sql)
    consumer = Consumer({"bootstrap.servers": s.kafka_brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["alerts"])
        raise_alerts(client, [{"alert_id": "a1", "user_id": 2**63 + 7, "summary": 'a "quote"\nand a line'}])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        (alert,), errors = parse(message.value())
        assert errors == []
        assert message.key() == b"a1"
        contract = load(PROJECT_DIR / "contracts" / "alerts.yaml")
        assert list(contract.line_reasons(message.value())) == []
        assert (alert.alert_id, alert.user_id, alert.summary) == ("a1", 2**63 + 7, 'a "quote"\nand a line')
    finally:
        consumer.close()
