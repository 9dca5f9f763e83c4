"""The node on Apache Kafka, whose messages outlive it: the faults that a broker in memory cannot stand."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from chctl.clickhouse import connect
from chctl.node.run import NodeProcess
from tests.e2e.test_node import Stream, count, create_ingest
from tests.kafka.server import ApacheKafka
from tests.waiting import wait_for

pytestmark = pytest.mark.kafka


def test_kafka_killed_and_node_killed_under_load_lose_and_double_nothing(
    fresh_node: Callable[..., NodeProcess], apache_kafka: ApacheKafka
) -> None:
    topic = f"numbers_{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": apache_kafka.brokers})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    node = fresh_node(brokers=apache_kafka.brokers)
    connect(node.settings(), database="").command("CREATE DATABASE chctl ENGINE = Atomic")
    client = connect(node.settings())
    create_ingest(client, topic)
    stream = Stream(apache_kafka.brokers, topic)
    try:
        wait_for(lambda: count(client) > 0)
        apache_kafka.kill()
        before = stream.produced
        wait_for(lambda: stream.produced > before + 5000)  # piles up in the producer
        apache_kafka.start()
        stored = count(client)
        wait_for(lambda: count(client) > stored)
        node.kill()
        again = fresh_node(brokers=apache_kafka.brokers)
    finally:
        produced = stream.stop()
    client = connect(again.settings())
    wait_for(lambda: count(client) == produced)
    assert client.command("SELECT sum(n) FROM numbers FINAL") == produced * (produced - 1) // 2
