"""Faults on the posts' path: whatever dies, produced = stored + rejected, and no post is paid for twice."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from chctl.clickhouse import connect
from chctl.kafka import client_config
from chctl.settings import Settings
from feeders.runtime import Stop
from feeders.social import Report, run_social
from tests.kafka.server import ApacheKafka
from tests.openai_server import Fault, Server, running
from tests.waiting import wait_for
from tests.whole import Start

GOOD, REFUSED, BROKEN = 240, 6, 9


class Feeding(threading.Thread):
    """The social feeder in a thread, until `end`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings, self._stop_feeding = settings, Stop()
        self.report: Report | None = None
        self.start()

    def run(self) -> None:
        self.report = asyncio.run(run_social(self._settings, stop=self._stop_feeding))

    def end(self) -> Report:
        self._stop_feeding.set()
        self.join(60)
        assert self.report is not None, "the feeder ended with an error"
        return self.report


def publish(settings: Settings) -> int:
    """Posts good, refused by the model and in breach of the contract, three a message; how many."""
    now = int(time.time() * 1000)
    texts = [f"good $BTC number {i}" for i in range(GOOD)] + [f"awful $BTC number {i}" for i in range(REFUSED)]
    lines = [
        json.dumps({"event_id": f"reddit:{i}", "event_time": now, "source": "reddit", "author": "joe", "text": text})
        for i, text in enumerate(texts)
    ]
    lines += [f"no post {i}" for i in range(BROKEN)]
    producer = Producer(client_config(settings))
    for first in range(0, len(lines), 3):
        producer.produce("social_raw", "\n".join(lines[first : first + 3]), key=b"reddit")
    assert producer.flush(20) == 0
    return len(lines)


def stored(settings: Settings) -> tuple[int, int]:
    """Posts in social_buzz, and rows in rejected_events."""
    with connect(settings) as client:
        buzz = client.command("SELECT uniqExact(event_id) FROM social_buzz")
        return int(buzz), int(client.command("SELECT count() FROM rejected_events FINAL"))  # type: ignore[arg-type]


@pytest.mark.kafka
@pytest.mark.timeout(300)  # Apache Kafka starts twice in it
def test_apache_kafka_is_killed_in_the_middle_of_a_batch(
    whole_node: Start, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    settings = (
        whole_node(brokers=apache_kafka.brokers)
        .settings()
        .model_copy(
            update={
                "data_dir": tmp_path / "feeder",
                "openai_api_key": SecretStr("k"),
                "social_batch_items": 60,
                "social_batch_seconds": 0.5,
            }
        )
    )
    produced = publish(settings)
    answering = threading.Event()
    with running(Server()) as server:

        def judge(posts: list[dict[str, str]]) -> Fault | None:
            if any("awful" in p["text"] for p in posts):
                return Fault(refusal=True)
            return None if answering.is_set() else Fault(delay=2)

        server.judge = judge
        feeding = Feeding(settings.model_copy(update={"openai_base_url": server.url}))
        wait_for(lambda: bool(server.requests))  # a window is being rated
        apache_kafka.kill()
        time.sleep(3)  # its answers come while there is no broker to take the rows
        assert feeding.is_alive()
        answering.set()
        apache_kafka.start()
        wait_for(lambda: sum(stored(settings)) >= produced)
        report = feeding.end()
        asked = Counter(text for texts in server.texts for text in texts if "good" in text)
    assert stored(settings) == (GOOD, REFUSED + BROKEN)
    assert report.rows >= GOOD
    assert len(asked) == GOOD
    # What shared a request with a refused post is asked once more, alone; nothing else is.
    again = {text for texts in server.texts if len(texts) > 1 and any("awful" in t for t in texts) for text in texts}
    assert {text for text, times in asked.items() if times > 1} <= again
    with connect(settings) as client:
        shown = client.query("SELECT count(), sum(usd), countIf(version = 0) FROM social_spend FINAL WHERE usd > 0")
        ((requests, usd, open_requests),) = shown.result_rows
        mentions = client.command("SELECT sum(mentions) FROM dash_sentiment WHERE symbol = 'BTC'")
    assert (requests, open_requests) == (len(server.requests), 0)
    assert usd > 0
    assert mentions == GOOD
