"""Bring a broker's topics to what contracts/*.yaml say: create, alter configuration, add partitions.

Topics are never deleted and never shrunk; messages of one key would change partitions, so adding some is shown as
risky. Planning (`read`) is apart from doing (`apply`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from chctl.contracts import Contract
from chctl.kafka import client_config
from chctl.settings import Settings

TIMEOUT_SECONDS = 15.0


class TopicsError(RuntimeError):
    """The broker cannot be reached or refuses; the text says what to do."""


@dataclass(frozen=True)
class Change:
    """One thing to do to one topic."""

    topic: str
    action: str  # create | partitions | config | refused
    detail: str
    values: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A topic as the broker has it. `config` is None where the broker does not tell configurations."""

    partitions: int
    config: dict[str, str] | None


@dataclass(frozen=True)
class Plan:
    """What separates the broker from the contracts. `notes` say what could not be compared."""

    changes: list[Change]
    notes: list[str]
    topics: dict[str, Found | None]

    @property
    def refusals(self) -> list[Change]:
        """Changes that `apply` will not make."""
        return [change for change in self.changes if change.action == "refused"]

    @property
    def exit_code(self) -> int:
        """0 nothing to do, 2 changes, 1 something is refused."""
        return 1 if self.refusals else 2 if self.changes else 0

    def to_json(self) -> str:
        """The plan as one JSON object."""
        return json.dumps(asdict(self))


def wanted_config(contract: Contract) -> dict[str, str]:
    """Configuration of a topic as Kafka names it."""
    return {"cleanup.policy": contract.cleanup_policy, "retention.ms": str(contract.retention_ms)}


def read(settings: Settings, contracts: Iterable[Contract]) -> Plan:
    """Compare the broker with the contracts; changes nothing. Raises TopicsError where it does not answer."""
    admin = AdminClient(client_config(settings))
    wanted = {contract.topic: contract for contract in contracts}
    try:
        # The whole list, not the topics by name: asking for one that is missing creates it on brokers that allow it.
        listed = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise TopicsError(
            f"no broker answers at {settings.kafka_brokers} ({error.args[0].str()}): "
            "is it up, is CHCTL_KAFKA_BROKERS right?"
        ) from None
    present = {name: len(listed[name].partitions) for name in wanted if name in listed}
    configs = _configs(admin, present)
    changes: list[Change] = []
    notes: list[str] = []
    topics: dict[str, Found | None] = {}
    for name, contract in sorted(wanted.items()):
        config = wanted_config(contract)
        if name not in present:
            topics[name] = None
            detail = f"{contract.partitions} partitions, " + ", ".join(f"{k}={v}" for k, v in config.items())
            changes.append(Change(name, "create", detail, {"partitions": contract.partitions, **config}))
            continue
        topics[name] = Found(present[name], configs.get(name))
        changes += _partitions(name, present[name], contract.partitions)
        if configs.get(name) is None:
            notes.append(f"{name}: the broker does not tell its configuration, so it is not compared")
            continue
        for key, value in config.items():
            has = configs[name].get(key)
            if has is not None and has != value:
                changes.append(Change(name, "config", f"{key}: {has} -> {value}", {key: value}))
    return Plan(changes, notes, topics)


def _partitions(name: str, has: int, wanted: int) -> list[Change]:
    if has == wanted:
        return []
    if has > wanted:
        return [
            Change(
                name,
                "refused",
                f"{has} partitions, the contract says {wanted}: Kafka cannot take partitions away. Put {has} into "
                f"contracts/{name}.yaml, or move producers and consumers to a new topic",
            )
        ]
    return [Change(name, "partitions", f"{has} -> {wanted}; keys move, drain consumers first", {"partitions": wanted})]


def _configs(admin: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Configuration of each topic that the broker tells; topics it does not answer for are left out."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found: dict[str, dict[str, str]] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT_SECONDS).items():
        try:
            entries = future.result()
        except KafkaException:
            continue
        if entries:
            found[resource.name] = {key: entry.value for key, entry in entries.items() if entry.value is not None}
    return found


def apply(settings: Settings, plan: Plan) -> list[Change]:
    """Do what the plan says and give what was done; does nothing at all where something is refused.

    Raises TopicsError with the broker's words where it refuses.
    """
    if plan.refusals:
        raise TopicsError("\n".join(f"{change.topic}: {change.detail}" for change in plan.refusals))
    admin = AdminClient(client_config(settings))
    for change in plan.changes:
        try:
            _apply(admin, change)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was faster
                raise TopicsError(f"{change.topic}: {change.action} refused: {error.args[0].str()}") from None
    _await(admin, {c.topic: int(c.values["partitions"]) for c in plan.changes if "partitions" in c.values})
    return plan.changes


def _await(admin: AdminClient, wanted: dict[str, int]) -> None:
    """Wait until the broker lists what it has accepted: Kafka answers before its metadata has caught up."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while wanted:
        listed = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        wanted = {name: n for name, n in wanted.items() if name not in listed or len(listed[name].partitions) < n}
        if wanted and time.monotonic() > deadline:
            raise TopicsError(
                f"the broker accepted {', '.join(wanted)} but does not list it yet: look again in a moment"
            )
        time.sleep(0.05 if wanted else 0)


def _apply(admin: AdminClient, change: Change) -> None:
    values = dict(change.values)
    if change.action == "create":
        partitions = int(values.pop("partitions"))
        topic = NewTopic(change.topic, num_partitions=partitions, config={k: str(v) for k, v in values.items()})
        admin.create_topics([topic], request_timeout=TIMEOUT_SECONDS)[change.topic].result()
    elif change.action == "partitions":
        wanted = NewPartitions(change.topic, int(values["partitions"]))
        admin.create_partitions([wanted], request_timeout=TIMEOUT_SECONDS)[change.topic].result()
    else:
        resource = ConfigResource(
            ResourceType.TOPIC,
            change.topic,
            incremental_configs=[
                ConfigEntry(key, str(value), incremental_operation=AlterConfigOpType.SET)
                for key, value in values.items()
            ],
        )
        admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_SECONDS)[resource].result()


def show(plan: Plan) -> str:
    """The plan as lines for a person."""
    lines = [f"{change.action:<10} {change.topic}: {change.detail}" for change in plan.changes] or ["nothing to do"]
    return "\n".join(lines + [f"note       {note}" for note in plan.notes])


def table(plan: Plan, contracts: Iterable[Contract]) -> str:
    """Each topic beside its contract; what differs carries an arrow."""
    lines = [f"{'topic':<18} {'partitions':>12}  {'retention.ms':<26} cleanup.policy"]
    for contract in sorted(contracts, key=lambda c: c.topic):
        found, wanted = plan.topics[contract.topic], wanted_config(contract)
        if found is None:
            lines.append(f"{contract.topic:<18} {'missing':>12}  chctl topics apply creates it")
            continue
        config = found.config or {}
        columns = [_beside(str(found.partitions), str(contract.partitions))]
        columns += [_beside(config.get(key, "?"), wanted[key]) for key in ("retention.ms", "cleanup.policy")]
        lines.append(f"{contract.topic:<18} {columns[0]:>12}  {columns[1]:<26} {columns[2]}")
    return "\n".join(lines)


def _beside(has: str, wanted: str) -> str:
    return has if has in (wanted, "?") else f"{has} -> {wanted}"
