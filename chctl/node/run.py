"""The node's life: lock, broker, engine, interface, ready line; then SIGTERM, drain, and out in under five seconds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
from confluent_kafka import KafkaException

from chctl.node import broker as brokers
from chctl.node import config, drain, page
from chctl.node.engine import Call, Engine, FolderLock
from chctl.node.http import Interface, application
from chctl.settings import PROJECT_DIR, Settings
from feeders.runtime import Supervisor

log = structlog.get_logger()

GRACE_SECONDS = 1.5
CATCH_UP_SECONDS = 0.5
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class NodeError(RuntimeError):
    """The node cannot start; the text says what to do."""


@dataclass(frozen=True)
class Options:
    """What `chctl node` was asked for. Ports: 0 takes a free one; no broker port means the one it had, else 9092."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8123
    broker_port: int | None = None
    brokers: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    as_json: bool = False


class _Server(uvicorn.Server):
    """uvicorn that says when it listens and leaves signals to the node."""

    def __init__(self, configuration: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(configuration)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._ready.set()

    def _stop(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: Options, settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises NodeError, FolderLocked or BrokerError where it cannot start.
    """
    os.environ["TZ"] = "UTC"  # chDB takes the server's time zone from here and from nowhere else
    time.tzset()
    password = settings.node_password.get_secret_value()
    if options.host not in LOOPBACK and not password:
        raise NodeError(
            f"to listen on {options.host} set a password: CHCTL_NODE_PASSWORD, or node_password in a secret file"
        )
    data_dir = options.data_dir.resolve()
    certificate, key = (str(path.resolve()) if path else None for path in (options.tls_cert, options.tls_key))
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FolderLock(data_dir)
    listener = _listen(options)
    embedded = None if options.brokers else brokers.ensure(data_dir, options.broker_port)
    address = options.brokers or (embedded.address if embedded else "")
    config_file = data_dir / "config.xml"
    config.write(config_file, settings, address)
    engine = Engine(data_dir, config_file)
    spool_dir = data_dir / "spool"
    spool_dir.mkdir(mode=0o700, exist_ok=True)
    interface = Interface(engine, spool_dir, settings.clickhouse_user, password)
    guarded = options.host in LOOPBACK and not password
    hosts = ["127.0.0.1", "localhost", "[::1]"] if guarded else None
    app = application(interface, allowed_hosts=hosts, routes=page.routes())

    scheme = "https" if options.tls_cert else "http"
    host, port = listener.getsockname()[:2]
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    lock.note(url)
    ready = threading.Event()
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=10,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        ),
        ready,
    )
    stopping = threading.Event()
    announcer = threading.Thread(
        target=_announce, args=(ready, stopping, url, address, data_dir, engine, options.as_json), daemon=True
    )
    announcer.start()
    if embedded is not None:
        threading.Thread(target=_watch, args=(embedded, data_dir, stopping), daemon=True).start()
    logging.getLogger("uvicorn.error").addFilter(_expected)
    server.run(sockets=[listener])
    stopping.set()
    if ready.is_set():
        announcer.join(2.0)  # it may be asking the engine, and has to tell systemd before the process ends
    interface.close()
    engine.kill_all()
    if embedded is not None:
        _catch_up(embedded)
    _close(engine)
    if embedded is not None:
        _end_broker(embedded, data_dir)
    lock.release()


def _expected(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's complaint about an unfinished body: that is how an error in the middle of one is told."""
    return "without completing response" not in record.getMessage()


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        raise NodeError(
            f"cannot listen on {options.host}:{options.port} ({error.strerror}): give another --port (0: a free one)"
        ) from None
    return listener


def _announce(
    ready: threading.Event,
    stopping: threading.Event,
    url: str,
    address: str,
    data_dir: Path,
    engine: Engine,
    as_json: bool,
) -> None:
    ready.wait()
    facts = {
        "url": url,
        "page": f"{url}{page.PATH}",
        "brokers": address,
        "data_dir": str(data_dir),
        "pid": os.getpid(),
        "version": engine.version,
    }
    line = (
        json.dumps(facts)
        if as_json
        else f"ready: {url}  charts {url}{page.PATH}  brokers {address}  data {data_dir}  ClickHouse {engine.version}"
    )
    print(line, flush=True)
    supervisor = Supervisor()
    supervisor.ready(f"serving {url}")
    while supervisor.every and not stopping.wait(supervisor.every):  # systemd's watchdog: only while the engine answers
        engine.run(Call(b"SELECT 1"))
        supervisor.progress()
    stopping.wait()
    supervisor.stopping()


def _catch_up(broker: brokers.Broker) -> None:
    """Give the Kafka tables a moment to read what is there, so that the broker can mostly go with the node."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    with contextlib.suppress(KafkaException):
        while time.monotonic() < deadline and drain.unread(broker.address, timeout=CATCH_UP_SECONDS):
            time.sleep(0.1)


def _watch(broker: brokers.Broker, data_dir: Path, stopping: threading.Event) -> None:
    """Say it when the broker is gone: what it held is lost, and only the next start brings another."""
    while not stopping.wait(1.0):
        if brokers.find(data_dir) is None:
            break
    else:
        return
    log.error(
        "the broker has ended: messages not yet read are lost; restart the node", pid=broker.pid, port=broker.port
    )


def _close(engine: Engine) -> None:
    """Close the engine, but not longer than `GRACE_SECONDS`: it is safe against being killed."""
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(GRACE_SECONDS)
    if closing.is_alive():
        log.warning("the engine did not close in time; the next start recovers it")


def _end_broker(broker: brokers.Broker, data_dir: Path) -> None:
    """End the broker if nothing is lost by it: all messages read by their groups, and nobody else connected."""
    try:
        left = drain.unread(broker.address, timeout=1.0)
    except KafkaException as error:
        log.warning("broker left running: it does not answer", pid=broker.pid, error=str(error))
        return
    others = brokers.connected(broker.port, own_pid=os.getpid())
    if left or others:
        log.warning(
            "broker left running for the next start: it keeps messages in memory only",
            pid=broker.pid,
            port=broker.port,
            unread=left,
            connections=others,
            to_drop_them=f"chctl node --discard-broker --data-dir {data_dir}",
        )
        return
    brokers.stop(data_dir)


def leave() -> None:
    """End the process at once: static destructors of the engine abort where threads of it still run."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


# --- the node as a process of its own, for the demo and the tests


@dataclass(frozen=True)
class NodeProcess:
    """A running `chctl node`."""

    url: str
    brokers: str
    data_dir: Path
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """Process id of the node."""
        return self.process.pid

    def settings(self, **changes: object) -> Settings:
        """Settings that name this node and its broker."""
        return Settings().model_copy(
            update={"clickhouse_url": self.url, "kafka_brokers": self.brokers, "data_dir": self.data_dir, **changes}
        )

    def stop(self, timeout: float = 10.0) -> int:
        """SIGTERM, wait, and give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL: what a crash does."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """What the node has written to stderr."""
        return (self.data_dir / "node.log").read_text()


def start_process(
    data_dir: Path,
    *arguments: str,
    port: int = 0,
    broker_port: int = 0,
    brokers: str = "",
    environment: dict[str, str] | None = None,
    timeout: float = 30.0,
) -> NodeProcess:
    """Start `chctl node` on the folder and wait until it serves; its stderr goes to `node.log` in the folder.

    Raises NodeError with what it wrote, where it ends or stays silent for `timeout` seconds.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cli", "node", "--json", "--data-dir", str(data_dir), "--port", str(port)]
    command += ["--brokers", brokers] if brokers else ["--broker-port", str(broker_port)]
    log_file = data_dir / "node.log"
    with log_file.open("ab") as errors:
        start = errors.tell()
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=PROJECT_DIR,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    line = _line(process, timeout)
    if not line:
        process.kill()
        process.wait()
        raise NodeError(f"chctl node did not start: {log_file.read_text()[start:].strip()}")
    facts = json.loads(line)
    return NodeProcess(facts["url"], facts["brokers"], data_dir, process)


def _line(process: subprocess.Popen[str], timeout: float) -> str:
    """The first line of the process's output, or nothing if it ends or the time is over."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                return process.stdout.readline()
    return ""
