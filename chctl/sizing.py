"""`chctl sizing`: how large a machine has to be, from what a row was measured to cost (deploy/sizing.yaml).

Disk, CPU and network follow from the figures; memory is a rule of thumb, and says so. All of it stands beside the
specification's one node.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from chctl.answers import Row
from chctl.contracts import ClickHouseConsumer, Contract, load_all

DAY = 86_400
GB = 1e9
#: Merges write the new part before they drop the old ones, and a disk needs air: what is stored may fill two thirds.
DISK_ROOM = 1.5
#: The busiest minute beside the mean: a crash multiplies every stream (chctl load --profile crash).
PEAK = 3.0
#: Between two blocks of a topic (kafka_consumer_reschedule_ms in templates/ingest).
RESCHEDULE_S = 0.01
#: Of all cores, what ingest may take at its peak; the rest is for queries, merges of large parts, broker and feeders.
INGEST_SHARE = 0.5
#: The specification's one node: from, to.
SPECIFIED = {"disk_gb": (1000, 2000), "ram_gib": (32, 64), "cores": (8, 16), "network_mbit": (1000, 1000)}
CORES, RAM_GIB, DISK_GB = (8, 16, 32, 48, 64, 96), (32, 64, 128, 256, 512), (1000, 2000, 4000, 8000, 16_000)


class SizingError(ValueError):
    """The figures cannot be used; the text says what to do."""


class Topic(msgspec.Struct, frozen=True):
    """What a row of one topic costs. Bytes: on the node's disk, in the broker's log, as JSON on the wire."""

    disk_bytes_per_row: float
    broker_bytes_per_row: float
    wire_bytes_per_row: float
    cpu_us_per_row: float
    cpu_ms_per_block: float
    rows: int = 0
    tables: dict[str, float] = {}


class Figures(msgspec.Struct, frozen=True):
    """The file."""

    measured: str
    machine: str
    idle_cores: float  # busy while nothing comes: refreshed views, dictionaries, polls
    topics: dict[str, Topic]


@dataclass(frozen=True)
class Stream:
    """One topic at one rate. Rows a second are means; `cores` busy with it at the mean."""

    topic: str
    rows_per_sec: float
    disk_gb: float
    broker_gb: float
    cores: float
    mbit: float


@dataclass(frozen=True)
class Answer:
    """What is needed, and what that means."""

    days: int
    streams: list[Stream]
    disk_gb: int
    ram_gib: int
    cores: int
    network_mbit: int
    busy_cores_at_peak: float
    stored_gb: float
    shards: int
    measured: str
    machine: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"specified": SPECIFIED, "fits_one_node": self.shards == 1}


def load(path: Path) -> Figures:
    """Read the figures. Raises SizingError."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), Figures)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise SizingError(f"{path}: {error}; measure anew with `python bench/sizing.py --write`") from None


def size(figures: Figures, contracts: dict[str, Contract], rates: dict[str, float], days: int) -> Answer:
    """The machine for these rows a second, by topic, kept for so many days."""
    streams = [_stream(figures.topics[topic], contracts[topic], rate, days) for topic, rate in rates.items()]
    stored = sum(stream.disk_gb for stream in streams)
    disk = stored * DISK_ROOM + sum(stream.broker_gb for stream in streams)
    peaks = (_cores(figures.topics[s.topic], contracts[s.topic], s.rows_per_sec * PEAK) for s in streams)
    busy = figures.idle_cores + sum(peaks)
    cores = busy / INGEST_SHARE
    mbit = sum(stream.mbit for stream in streams) * PEAK
    # Rule of thumb: 24 GiB for queries, views, broker and feeders, and half of a day's bytes, which dashboards read.
    ram = 24 + 0.5 * stored / max(days, 1)
    shards = max(1, math.ceil(cores / SPECIFIED["cores"][1]), math.ceil(disk / SPECIFIED["disk_gb"][1]))
    return Answer(
        days,
        streams,
        _step(disk, DISK_GB),
        _step(ram, RAM_GIB),
        _step(cores, CORES),
        _step(mbit, (1000, 10_000, 25_000, 100_000)),
        round(busy, 2),
        round(stored, 1),
        shards,
        figures.measured,
        figures.machine,
    )


def _stream(cost: Topic, contract: Contract, rate: float, days: int) -> Stream:
    kept = contract.retention_ms / 1000
    return Stream(
        contract.topic,
        rate,
        round(rate * DAY * days * cost.disk_bytes_per_row / GB, 1),
        round(rate * kept * cost.broker_bytes_per_row / GB, 1),
        round(_cores(cost, contract, rate), 3),
        round(rate * cost.wire_bytes_per_row * 8 * 2 / 1e6, 1),  # to the broker and from it
    )


def _cores(cost: Topic, contract: Contract, rate: float) -> float:
    """Cores busy with these rows a second: each row, and each block that holds some; an empty interval makes none.

    The readers of a topic gather rows for an interval, then the node works on their block, and only then they go on
    (RESCHEDULE_S later): blocks grow in place of coming faster, and a topic is never busier than its readers' cores.
    """
    reader = contract.consumers.clickhouse or ClickHouseConsumer()
    row, block = cost.cpu_us_per_row / 1e6, cost.cpu_ms_per_block / 1e3
    left = max(1 - rate * row / reader.num_consumers, 0)  # of a second, beside the rows themselves
    blocks = min(rate, left / (reader.flush_interval_ms / 1e3 + block + RESCHEDULE_S))
    return rate * row + blocks * block


def _step(value: float, steps: tuple[int, ...]) -> int:
    """The smallest that is offered and suffices; beyond the last, its multiple."""
    return next((step for step in steps if value <= step), math.ceil(value / steps[-1]) * steps[-1])


def answer(project_dir: Path, rates: dict[str, float], days: int) -> Answer:
    """Read the figures and the contracts of the project, and size. Raises SizingError and ContractError."""
    contracts = {contract.topic: contract for contract in load_all(project_dir / "contracts")}
    return size(load(project_dir / "deploy" / "sizing.yaml"), contracts, rates, days)


def streams(found: Answer) -> list[Row]:
    """One row a topic, for a table."""
    return [asdict(stream) for stream in found.streams]


def beside(found: Answer) -> list[Row]:
    """What is needed beside what the specification's one node has."""
    needed = {
        "disk": (found.disk_gb, "disk_gb", "GB"),
        "memory": (found.ram_gib, "ram_gib", "GiB"),
        "cpu": (found.cores, "cores", "cores"),
        "network": (found.network_mbit, "network_mbit", "Mbit/s"),
    }
    return [
        {
            "what": what,
            "needed": f"{value} {unit}",
            "specification": f"{SPECIFIED[key][0]}-{SPECIFIED[key][1]} {unit}",
            "verdict": "fits" if value <= SPECIFIED[key][1] else "more than one node",
        }
        for what, (value, key, unit) in needed.items()
    ]


def advice(found: Answer) -> list[str]:
    """What to do with it, a line each."""
    told = [
        f"measured {found.measured} on {found.machine}; sized for {PEAK:g} times the mean, "
        f"ingest on {INGEST_SHARE:.0%} of the cores, {DISK_ROOM:g} times the stored bytes; memory by rule of thumb"
    ]
    if found.shards == 1:
        told.append(f"chctl tune --cores {found.cores} --ram {found.ram_gib} --disk {found.disk_gb}")
    else:
        told.append(
            f"past one node: {found.shards} shards of {SPECIFIED['cores'][1]} cores, each with a replica: "
            "chctl cluster (docs/operations.md, Past one node)"
        )
    return told
