"""Simulated talk for the demo: posts of invented people about real symbols, rated by the social feeder itself."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chctl.settings import PROJECT_DIR, Settings
from feeders.runtime import Publisher

SYMBOLS = ("BTC", "ETH", "SOL")
_GOOD = (
    "${} breaking out, bulls in full control 🚀",
    "accumulating more ${} every day, still early",
    "${} adoption keeps growing, love this upgrade",
    "we are so back, ${} to the moon",
)
_BAD = (
    "${} dumping again, this is a bloodbath",
    "got liquidated on ${}, down bad",
    "devs drained the liquidity of a ${} pool, rug pull",
    "network outage again, ${} looks dead",
)
_PLAIN = ("${} trades sideways", "which wallet do you use for ${}?", "${} funding is flat today")


def posts(seed: int, turn_after: float) -> Iterator[tuple[float, dict[str, object]]]:
    """(second, row of social_raw) without end, four a second; the mood of SOL turns after `turn_after` seconds."""
    rng = random.Random(seed)
    second = 0.0
    for number in range(sys.maxsize):
        second += rng.expovariate(4.0)
        symbol = rng.choice(SYMBOLS)
        kind = rng.choices((_GOOD, _BAD, _PLAIN), (1, 8, 1) if symbol == "SOL" and second > turn_after else (5, 2, 3))[
            0
        ]
        text = f"{rng.choice(kind).format(symbol)} #{rng.randint(1, 9999)}"
        yield second, {
            "event_id": f"reddit:demo{seed}-{number}", "source": "reddit", "author": f"somebody{rng.randint(1, 400)}",
            "language": "en", "text": text, "engagement": rng.randint(0, 60),
        }  # fmt: skip


@contextmanager
def talk(settings: Settings, data_dir: Path, *, seed: int = 1, turn_after: float = 25.0) -> Iterator[None]:
    """The talk, and the social feeder as a process of its own, without a key: the local lexicon rates it."""
    stop = threading.Event()
    thread = threading.Thread(target=_publish, args=(settings, stop, seed, turn_after), name="talk", daemon=True)
    environment = {name: value for name, value in os.environ.items() if name != "CHCTL_OPENAI_API_KEY"} | {
        "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
        "CHCTL_KAFKA_BROKERS": settings.kafka_brokers,
        "CHCTL_DATA_DIR": str(data_dir),
        "CHCTL_SOCIAL_BATCH_SECONDS": "1",
    }
    with (data_dir / "social.log").open("ab") as errors:
        feeder = subprocess.Popen(
            [sys.executable, "-m", "cli", "feed", "social"],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        feeder.terminate()
        feeder.wait(30)


def _publish(settings: Settings, stop: threading.Event, seed: int, turn_after: float) -> None:
    publisher = Publisher(settings)
    started = time.time()
    for second, row in posts(seed, turn_after):
        if stop.wait(max(0.0, started + second - time.time())):
            break
        publisher.add("social_raw", "reddit", json.dumps(row | {"event_time": int(time.time() * 1000)}).encode())
        publisher.flush()
    publisher.close(5)
