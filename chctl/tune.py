"""Settings of a ClickHouse server, sized from the machine: renders templates/clickhouse into deploy/clickhouse.

The templates say why each line stands there; here are only the figures. Sizes in bytes unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chctl.contracts import Contract
from chctl.node import page
from chctl.node.config import LOW_LATENCY

GIB = 1 << 30
GB = 10**9

#: What the files in the repository are rendered for: the middle of the specification's one node.
DEFAULT_CORES, DEFAULT_RAM_GIB, DEFAULT_DISK_GB = 16, 64, 2000
#: Loopback and the private ranges of RFC 1918 and RFC 4193.
PRIVATE_NETWORKS = ("127.0.0.1", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
#: What views/**/ dictionaries read, views resolved; a test compares it with the files.
DICTIONARY_SOURCES = ("alert_rules", "alert_rules_now", "order_baseline_1m", "order_usual_now", "peer_usual_now")
TLS_DIR = "/etc/clickhouse-server/tls"

_KAFKA_REASONS = {
    "session_timeout_ms": "A restarted server gets its partitions back in seconds, not in a minute.",
    "enable_metrics_push": "Else a chain of views that ends in a Kafka table may stall for a second a cycle.",
    "fetch_wait_max_ms": "A fetch waits a moment at most: alerts come in tenths of a second instead of four seconds.",
    "queue_buffering_max_ms": "An alert leaves at once.",
    "auto_offset_reset": "A new group starts with the oldest message: nothing is skipped.",
}


class TuneError(ValueError):
    """The machine is too small; the text says for what."""


@dataclass(frozen=True)
class Machine:
    """What the server may use. `consumers`: threads of Kafka tables that read."""

    cores: int
    ram_gib: int
    disk_gb: int
    consumers: int

    def __post_init__(self) -> None:
        for name, value, least, unit in (
            ("cores", self.cores, 2, "cores"),
            ("ram", self.ram_gib, 4, "GiB"),
            ("disk", self.disk_gb, 20, "GB"),
        ):
            if value < least:
                raise TuneError(f"--{name} {value}: a server of this pipeline needs at least {least} {unit}")


def consumers(contracts: list[Contract]) -> int:
    """Threads that poll: the consumers of every Kafka table that the contracts make."""
    return sum(c.consumers.clickhouse.num_consumers for c in contracts if c.consumers.clickhouse)


def values(machine: Machine) -> dict[str, object]:
    """The variables of the templates."""
    memory = machine.ram_gib * GIB * 7 // 10
    merge_pool = max(2, machine.cores // 2)
    slots = 2 * merge_pool  # background_merges_mutations_concurrency_ratio is 2
    query_memory = memory // 3
    queries = max(20, 6 * machine.cores)
    return {
        "banner": "Rendered by `chctl tune` from templates/clickhouse.",
        "cores": machine.cores,
        "ram": machine.ram_gib,
        "disk": machine.disk_gb,
        "consumers": machine.consumers,
        "memory": memory,
        "mark_cache": machine.ram_gib * GIB // 20,
        "temporary": machine.disk_gb * GB // 10,
        "broker_pool": machine.consumers + max(2, -(-machine.consumers // 4)),
        "merge_pool": merge_pool,
        "common_pool": min(8, machine.cores),
        "schedule_pool": max(16, 2 * machine.cores),
        "queries": queries,
        "selects": queries * 3 // 4,
        "largest_merge": min(150 * GIB, machine.disk_gb * GB // 20),
        "lower_entries": max(1, slots // 4),
        "mutation_entries": max(1, slots // 2),
        "wide_part": 10 << 20 if machine.ram_gib < 32 else 32 << 20,
        "audit_days": 90,
        "hot_days": 7,
        "s3_cache": machine.disk_gb * GB // 20,
        "tls": TLS_DIR,
        "networks": PRIVATE_NETWORKS,
        "dictionary_sources": DICTIONARY_SOURCES,
        "query_memory": query_memory,
        "spill": query_memory // 2,
        "query_threads": max(1, machine.cores // 2),
        "page_files": [
            {"url": page.PATH + ("" if name == "index.html" else name), "name": name, "content_type": kind}
            for name, kind in page.CONTENT_TYPES.items()
        ],
        "page_headers": page.HEADERS,
        "kafka": [(name, value, _KAFKA_REASONS[name]) for name, value in LOW_LATENCY.items()],
    }


def render(machine: Machine, project_dir: Path) -> dict[str, str]:
    """Every file by its path below deploy/clickhouse, such as config.d/pools.xml. Raises TuneError."""
    templates = project_dir / "templates" / "clickhouse"
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    variables = values(machine)
    names = sorted(path.relative_to(templates).as_posix() for path in templates.rglob("*.xml.j2"))
    return {name.removesuffix(".j2"): environment.get_template(name).render(variables) for name in names}


def write(files: dict[str, str], folder: Path) -> list[Path]:
    """Write what differs below `folder`; returns the paths written."""
    changed = []
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(path)
    return changed
