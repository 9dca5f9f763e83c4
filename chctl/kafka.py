"""librdkafka configurations that every producer, consumer and admin client of chctl starts from."""

from __future__ import annotations

from typing import Any

from chctl.settings import Settings


def client_config(s: Settings) -> dict[str, Any]:
    """Connection and security of the broker in the settings; secrets stay in memory."""
    config: dict[str, Any] = {
        "bootstrap.servers": s.kafka_brokers,
        "security.protocol": s.kafka_security_protocol,
        "log_level": 2,  # errors come back as exceptions and callbacks; librdkafka's own lines on stderr repeat them
    }
    if s.kafka_ca:
        config["ssl.ca.location"] = str(s.kafka_ca)
    if s.kafka_security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = s.kafka_sasl_mechanism
        config["sasl.username"] = s.kafka_sasl_username
        config["sasl.password"] = s.kafka_sasl_password.get_secret_value()
    return config


def producer_config(s: Settings) -> dict[str, Any]:
    """An idempotent producer: a retry is never stored twice, and order within a partition holds."""
    return client_config(s) | {
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.timeout.ms": 0,  # a broker that is away is waited for; the caller stops reading instead of dropping
    }


def consumer_config(s: Settings, group: str) -> dict[str, Any]:
    """A consumer that commits only what its caller says is safe."""
    return client_config(s) | {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 2,  # librdkafka's default of 1000 caps a consumer near 100 k messages/s
    }
