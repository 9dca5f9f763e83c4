"""Apache Kafka as one KRaft process on loopback: the durable broker of the tests; stop, kill and restart it."""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

HERE = Path(__file__).parent
RESOLVE = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
#: Small and quick to start: the tests hold a few megabytes in it.
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def missing() -> str:
    """What this machine lacks to run Kafka; empty if nothing."""
    return ", ".join(tool for tool in ("java", "mvn") if shutil.which(tool) is None)


def classpath() -> str:
    """The classpath of `kafka.Kafka`, downloaded by Maven the first time and kept under `target/` for this pom.

    Raises RuntimeError with Maven's words.
    """
    pom = HERE / "pom.xml"
    kept = HERE / "target" / f"classpath-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"
    if kept.exists() and all(Path(jar).exists() for jar in kept.read_text().split(":")):
        return kept.read_text()
    kept.parent.mkdir(exist_ok=True)
    command = ["mvn", "-q", "-B", "-f", str(pom), RESOLVE, f"-Dmdep.outputFile={kept}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"Maven cannot resolve Apache Kafka: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return kept.read_text()


@dataclass(frozen=True)
class Login:
    """What a client must know: user, password, and the authority (PEM file) that signed the broker's certificate."""

    user: str
    password: str
    ca: Path
    certificate: str
    key: str

    def client(self) -> dict[str, str]:
        """librdkafka's settings."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.ca),
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": self.user,
            "sasl.password": self.password,
        }

    def properties(self, port: int, internal: int, controller: int) -> dict[str, str]:
        """The broker's: one listener for clients, and a plain one that only it uses."""
        listeners = f"SASL_SSL://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal}"
        return {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": self.certificate.strip().replace("\n", "\\n"),
            "ssl.keystore.key": self.key.strip().replace("\n", "\\n"),
        }


class ApacheKafka:
    """One broker with its log in `directory`; ports are chosen once, so that a restart is found again.

    `login`: clients must speak TLS and log in by SCRAM-SHA-256.
    """

    def __init__(self, directory: Path, login: Login | None = None) -> None:
        self._directory, self._classpath = directory, classpath()
        self._process: subprocess.Popen[bytes] | None = None
        port, controller, internal = _free_ports(3)
        self.brokers = f"127.0.0.1:{port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "log.dirs": str(directory / "log"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
        }
        self._client: dict[str, str] = {"bootstrap.servers": self.brokers}
        users: tuple[str, ...] = ()
        if login:
            properties |= login.properties(port, internal, controller)
            self._client |= login.client()
            users = ("--add-scram", f"SCRAM-SHA-256=[name={login.user},password={login.password}]")
        directory.mkdir(parents=True, exist_ok=True)
        self._properties = directory / "server.properties"
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        (directory / "log4j.properties").write_text(
            "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n\n"
        )
        cluster_id = hashlib.sha256(uuid.uuid4().bytes).hexdigest()[:22]
        arguments = ("format", "-t", cluster_id, "-c", str(self._properties), *users)
        self._java("kafka.tools.StorageTool", *arguments).wait(60)

    def _java(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = ["java", *JVM, f"-Dlog4j.configuration=file:{self._directory / 'log4j.properties'}"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*command, "-cp", self._classpath, main, *arguments],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def _log(self) -> Path:
        return self._directory / "kafka.log"

    def start(self, timeout: float = 60.0) -> None:
        """Start on the log as it is and wait until it answers. Raises RuntimeError with the end of its log."""
        self._process = self._java("kafka.Kafka", str(self._properties))
        deadline = time.monotonic() + timeout
        client = AdminClient(self._client | {"log_level": 0, "reconnect.backoff.max.ms": 100})
        while True:
            try:
                if client.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Apache Kafka does not start: {self._log.read_text()[-3000:]}")

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def _end(self, number: signal.Signals, timeout: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def stop(self) -> None:
        """A clean shutdown."""
        self._end(signal.SIGTERM, 30)

    def kill(self) -> None:
        """What a crash does: no flush, no goodbye. What it acknowledged is in the log all the same."""
        self._end(signal.SIGKILL, 10)

    def pause(self) -> None:
        """Stop answering, as a machine that hangs; `resume` goes on."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
