"""Apache ZooKeeper as one process on loopback, from the jars that come with Apache Kafka: a Keeper for the tests."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.kafka.server import JVM, classpath
from tests.waiting import wait_for


class ZooKeeper:
    """A server with its data in `directory`, which speaks the protocol that ClickHouse speaks to Keeper."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        settings = directory / "zoo.cfg"
        settings.write_text(
            f"dataDir={directory}\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "tickTime=2000\nadmin.enableServer=false\n"
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (directory / "zookeeper.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["java", *JVM, "-cp", classpath(), main, str(settings)], stdout=log, stderr=log
            )
        wait_for(self._answers, what="ZooKeeper")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def write_config(self, path: Path) -> Path:
        """ClickHouse's configuration for it, as deploy/clickhouse/optional/keeper.xml has it."""
        path.write_text(
            f"<clickhouse><zookeeper><node><host>127.0.0.1</host><port>{self.port}</port></node></zookeeper>"
            "<keeper_map_path_prefix>/chctl/keeper_map</keeper_map_path_prefix></clickhouse>"
        )
        return path

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
