"""The engine's configuration file: the named collection that every Kafka table names, and where it may look."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from chctl.settings import Settings

#: librdkafka options of every Kafka table. They must stand inside the collection: chDB ignores a global <kafka>.
#: Measured from produce to the row: p50 90 ms beside 4.5 s with librdkafka's and ClickHouse's defaults.
LOW_LATENCY = {
    "session_timeout_ms": "6000",  # a restarted node gets its partitions back in seconds, not minutes
    "enable_metrics_push": "false",  # else a view chain that ends in a Kafka table may stall for a second a cycle
    "fetch_wait_max_ms": "50",  # Tansu answers each fetch that waits: 5 ms cost it half a core, idle
    "queue_buffering_max_ms": "0",
    "auto_offset_reset": "earliest",  # a new group starts with the oldest message: nothing is skipped
}

#: Engine options of the connection string: chDB's own thread pools are too small for several Kafka tables.
ENGINE_OPTIONS = {
    "background_message_broker_schedule_pool_size": 16,  # one thread a consumer while it polls
    "background_schedule_pool_size": 8,
}


def kafka_options(settings: Settings) -> dict[str, str]:
    """librdkafka options of the collection, names with underscores, security included."""
    options = dict(LOW_LATENCY)
    if settings.kafka_security_protocol != "PLAINTEXT":
        options["security_protocol"] = settings.kafka_security_protocol
    if settings.kafka_ca:
        options["ssl_ca_location"] = str(settings.kafka_ca.resolve())
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_username"] = settings.kafka_sasl_username
        options["sasl_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


def render(settings: Settings, brokers: str, backups: Path) -> bytes:
    """The configuration as XML; `brokers` is the bootstrap list of the collection `chctl_kafka`.

    BACKUP and RESTORE reach the folder `backups` alone.
    """
    root = ElementTree.Element("clickhouse")
    allowed = ElementTree.SubElement(ElementTree.SubElement(root, "backups"), "allowed_path")
    allowed.text = f"{backups}/"
    storage = ElementTree.SubElement(root, "named_collections_storage")
    ElementTree.SubElement(storage, "type").text = "local"
    collection = ElementTree.SubElement(ElementTree.SubElement(root, "named_collections"), "chctl_kafka")
    ElementTree.SubElement(collection, "kafka_broker_list").text = brokers
    kafka = ElementTree.SubElement(collection, "kafka")
    for name, value in kafka_options(settings).items():
        ElementTree.SubElement(kafka, name).text = value
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def write(path: Path, settings: Settings, brokers: str) -> None:
    """Write the configuration for its owner alone: it may hold the broker's password."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(render(settings, brokers, path.parent / "backups"))
