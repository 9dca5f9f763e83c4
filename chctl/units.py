"""systemd units of the node and of every feeder, rendered from templates/systemd/unit.j2.

The template says why each line stands there; here is only what differs between the units.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

#: Where the units look for bin/chctl: the virtual environment of a checkout in /opt/chctl.
DEFAULT_PREFIX = Path("/opt/chctl/.venv")


@dataclass(frozen=True)
class Unit:
    """What a unit does not share with the others. Times in systemd's notation."""

    kind: str
    title: str
    command: str  # behind `chctl`
    instance: bool = False  # one process a venue or source: name@venue.service
    after: str = ""
    environment: tuple[str, ...] = ()
    extra_credentials: tuple[str, ...] = ()
    watchdog: str = "60s"  # twice the longest time in which nothing may happen on a working feed
    start_timeout: str = "2min"
    stop_timeout: str = "45s"  # above CHCTL_MARKET_DRAIN_S
    kill_mode: str = ""
    proc: str = "pid"
    writable_code: bool = False
    addresses: str = ""
    memory: str = "1G"
    tasks: int = 64
    files: int = 4096

    @property
    def name(self) -> str:
        """The file's name."""
        return f"chctl-{self.kind}{'@' if self.instance else ''}.service"

    @property
    def state(self) -> str:
        """The folder below /var/lib; each process has its own."""
        return f"chctl-{self.kind}{'-%i' if self.instance else ''}"

    @property
    def credentials(self) -> tuple[str, ...]:
        """A directory loads as `<id>_<file>`: the file clickhouse_password is read as chctl_clickhouse_password."""
        return (f"chctl:/etc/chctl/secrets/{self.kind}", *self.extra_credentials)


UNITS = (
    Unit(
        kind="node",
        title="chctl: embedded ClickHouse and broker",
        command="node",
        environment=("CHCTL_DATA_DIR=%S/chctl-node",),
        start_timeout="5min",  # attaching the tables of a full disk
        stop_timeout="30s",
        kill_mode="process",
        proc="all",  # ClickHouse sizes itself by /proc/meminfo
        writable_code=True,
        addresses="localhost",
        memory="80%",
        tasks=4096,
        files=1_048_576,
    ),
    Unit(
        kind="market",
        title="chctl: order books and trades of %i",
        command="feed market --venue %i",
        instance=True,
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-market-%i",),
    ),
    Unit(
        kind="collect",
        title="chctl: posts from %i",
        command="feed collect --source %i",
        instance=True,
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-collect-%i",),
        watchdog="10min",  # polite collectors poll once in minutes
    ),
    Unit(
        kind="social",
        title="chctl: sentiment of posts",
        command="feed social",
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-social",),
        watchdog="3min",  # above CHCTL_SOCIAL_TIMEOUT_S: one request to the provider
        stop_timeout="90s",
    ),
    Unit(
        kind="beacon",
        title="chctl: gateway of browser events",
        command="feed beacon",
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-beacon",),
        files=65_536,
    ),
    Unit(
        kind="alerts",
        title="chctl: delivery of alerts",
        command="feed alerts",
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-alerts", "CHCTL_ALERTS_ROUTES=/etc/chctl/routes.yaml"),
        # the routing file names alerts_ops_url: the file ops_url of this directory
        extra_credentials=("alerts:/etc/chctl/secrets/channels",),
    ),
    Unit(
        kind="doctor",
        title="chctl: health of everything, as metrics",
        command="doctor --every 30",
        after="chctl-node.service",
        environment=("CHCTL_DATA_DIR=%S/chctl-doctor",),
        watchdog="3min",  # a look at a node and a broker that are away takes most of a minute
    ),
)


def render(project_dir: Path, prefix: Path = DEFAULT_PREFIX) -> dict[str, str]:
    """Every unit's text by its file name."""
    environment = Environment(
        loader=FileSystemLoader(project_dir / "templates" / "systemd"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # a unit is no HTML, and every value stands in this file
    )
    template = environment.get_template("unit.j2")
    return {
        unit.name: template.render(
            asdict(unit), name=unit.name, state=unit.state, credentials=unit.credentials, prefix=prefix
        )
        for unit in UNITS
    }
