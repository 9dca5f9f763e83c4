"""Posts from the topic to the tables, through the real broker and node."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic import SecretStr

from chctl.clickhouse import connect
from chctl.kafka import consumer_config
from chctl.settings import PROJECT_DIR, Settings
from feeders.analysis import lexicon
from feeders.runtime import Publisher, Stop
from feeders.social import GROUP, Report, run_backfill, run_social
from tests.openai_server import Fault, Server, running, throttled
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def social(whole: Settings) -> Settings:
    """A node of the file's own: another database on a shared node would share the consumer groups of its tables."""
    return whole


@pytest.fixture(scope="module")
def sql(social: Settings) -> Iterator[Client]:
    with connect(social) as client:
        yield client


#: A group's first join takes half of the session's timeout on this broker.
KAFKA = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 300}


def settings_of(social: Settings, tmp_path: Path, **kwargs: Any) -> Settings:
    defaults = {"data_dir": tmp_path, "social_batch_seconds": 0.3, "social_batch_items": 200}
    return social.model_copy(update=defaults | kwargs)


def post(event_id: str, text: str, **kwargs: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {"event_id": event_id, "event_time": now, "source": "reddit", "author": "joe", "text": text} | kwargs


def publish(social: Settings, *rows: dict[str, Any] | str, packed: int = 3) -> None:
    producer = Producer({"bootstrap.servers": social.kafka_brokers})
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    for i in range(0, len(lines), packed):
        producer.produce("social_raw", "\n".join(lines[i : i + packed]).encode(), key=b"reddit")
    assert producer.flush(10) == 0


def feed(settings: Settings, until: Callable[[], bool], seconds: float = 60) -> Report:
    """Run the feeder until a condition holds."""

    async def run() -> Report:
        stop = Stop()
        task = asyncio.create_task(run_social(settings, stop=stop, kafka=KAFKA))
        deadline = time.monotonic() + seconds
        try:
            while not await asyncio.to_thread(until):
                assert time.monotonic() < deadline, "the condition did not come to hold"
                assert not task.done(), task.exception()
                await asyncio.sleep(0.1)
        finally:
            stop.set()
        return await task

    return asyncio.run(run())


def rows(sql: Client, prefix: str) -> dict[str, tuple[Any, ...]]:
    query = """
        SELECT event_id, symbol, sentiment_label, model, text, author_hash, sampled_weight
        FROM social_buzz FINAL WHERE startsWith(event_id, {prefix:String}) ORDER BY event_id, symbol
    """
    return {f"{r[0]}/{r[1]}": r[2:] for r in sql.query(query, parameters={"prefix": prefix}).result_rows}


def test_posts_get_their_sentiment_without_a_key(social: Settings, sql: Client, tmp_path: Path) -> None:
    publish(
        social,
        post("reddit:a1", "Bitcoin and $ETH to the moon, says @joe (joe@example.com)"),
        post("reddit:a2", "rug pull on $SOL, everything stolen"),
        "this is no post of joe@example.com",
        post("reddit:a3", "nothing to see"),
    )
    feed(settings_of(social, tmp_path), lambda: len(rows(sql, "reddit:a")) == 4)
    found = rows(sql, "reddit:a")
    assert list(found) == ["reddit:a1/BTC", "reddit:a1/ETH", "reddit:a2/SOL", "reddit:a3/"]
    assert found["reddit:a1/BTC"][:2] == ("positive", lexicon.MODEL)
    assert found["reddit:a1/BTC"][2] == "Bitcoin and $ETH to the moon, says [HANDLE] ([EMAIL])"
    assert found["reddit:a1/BTC"][3] not in ("", "joe")
    assert found["reddit:a2/SOL"][0] == "negative"
    rejected = "SELECT reason, startsWith(raw, 'sha256:') FROM rejected_events FINAL WHERE topic = 'social_raw'"
    wait_for(lambda: sql.query(rejected).result_rows == [("not a JSON object", True)])  # the node's word, no text
    mentions = "SELECT symbol, sum(mentions) FROM dash_sentiment WHERE symbol != '' GROUP BY symbol ORDER BY symbol"
    assert sql.query(mentions).result_rows == [("BTC", 1), ("ETH", 1), ("SOL", 1)]


def test_a_window_is_full_by_its_posts_however_many_a_message_holds(
    social: Settings, sql: Client, tmp_path: Path
) -> None:
    publish(social, *(post(f"reddit:h{i}", f"good $DOT number {i}") for i in range(9)), packed=3)
    patient = settings_of(social, tmp_path, social_batch_seconds=600, social_batch_items=9)
    feed(patient, lambda: len(rows(sql, "reddit:h")) == 9)


def test_an_alias_that_a_dba_adds_is_found_in_the_next_post(
    social: Settings, sql: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feeders.social.ALIASES_EVERY", 0.2)

    async def run() -> None:
        stop = Stop()
        task = asyncio.create_task(run_social(settings_of(social, tmp_path), stop=stop, kafka=KAFKA))
        try:
            publish(social, post("reddit:i1", "floofcoin to the moon"))
            await _until(lambda: "reddit:i1/" in rows(sql, "reddit:i1"), task)
            sql.command("INSERT INTO symbol_aliases (alias, symbol) VALUES ('floofcoin', 'FLOOF')")
            await asyncio.sleep(0.5)
            publish(social, post("reddit:i2", "floofcoin to the moon again"))
            await _until(lambda: bool(rows(sql, "reddit:i2")), task)
        finally:
            stop.set()
            await task

    asyncio.run(run())
    assert list(rows(sql, "reddit:i2")) == ["reddit:i2/FLOOF"]


async def _until(done: Callable[[], bool], task: asyncio.Task[Any]) -> None:
    deadline = time.monotonic() + 40
    while not done():
        assert time.monotonic() < deadline
        assert not task.done(), task.exception()
        await asyncio.sleep(0.1)


def _feed_until_killed(settings: Settings) -> None:
    asyncio.run(run_social(settings, kafka=KAFKA))


def test_a_feeder_that_is_killed_before_its_commit_loses_and_pays_nothing_twice(
    social: Settings, sql: Client, tmp_path: Path
) -> None:
    posts = [post(f"reddit:b{i}", f"good coin number {i} $ADA") for i in range(60)]
    publish(social, *posts)
    with running(Server()) as server:
        settings = settings_of(social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url)
        server.judge = lambda p: Fault(delay=60) if any("number 59 " in x["text"] for x in p) else None

        process = multiprocessing.get_context("spawn").Process(target=_feed_until_killed, args=(settings,))
        process.start()
        try:  # one of two requests is answered, then the process is gone
            wait_for(lambda: sum(len(t) for t in server.texts) >= 60, 60)
            time.sleep(0.5)
            assert process.is_alive()
        finally:
            process.kill()
            process.join()
        assert rows(sql, "reddit:b") == {}
        asked = len(server.texts)
        server.judge = lambda _: None
        feed(settings, lambda: len(rows(sql, "reddit:b")) == 60)
        again = [text for texts in server.texts[asked:] for text in texts]
        assert 0 < len(again) < 60  # only what had not been answered
    assert {r[0] for r in rows(sql, "reddit:b").values()} == {"positive"}
    mentions = "SELECT sum(mentions), sum(rated_posts) FROM dash_sentiment WHERE symbol = 'ADA'"
    assert sql.query(mentions).result_rows == [(60, 60)]


def test_an_offset_is_committed_only_when_the_rows_are_in_kafka(
    social: Settings, sql: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rated and paid for, but not acknowledged by the broker: the next run must read the window again."""
    before = _committed(social)
    with monkeypatch.context() as held, running(Server()) as server:
        reached = threading.Event()

        def never(_publisher: Publisher, _timeout: float | None = None) -> bool:
            reached.set()
            time.sleep(0.05)
            return False

        held.setattr(Publisher, "flush", lambda _: None)
        held.setattr(Publisher, "drain", never)
        held.setattr(Publisher, "close", lambda *_: 0)
        settings = settings_of(social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url)
        publish(social, *(post(f"reddit:l{i}", f"good number {i} $LINK") for i in range(6)))

        async def die() -> None:
            task = asyncio.create_task(run_social(settings, stop=Stop(), kafka=KAFKA))
            await _until(reached.is_set, task)
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(die())
        assert server.requests
    assert _committed(social) == before
    feed(settings_of(social, tmp_path), lambda: len(rows(sql, "reddit:l")) == 6)
    assert _committed(social) > before


def _committed(social: Settings) -> int:
    """Messages of social_raw that the feeder's group has left behind."""
    consumer = Consumer(consumer_config(social, GROUP))
    try:
        partitions = consumer.list_topics("social_raw", timeout=10).topics["social_raw"].partitions
        places = consumer.committed([TopicPartition("social_raw", number) for number in partitions], timeout=10)
        return sum(max(place.offset, 0) for place in places)
    finally:
        consumer.close()


def test_another_host_finds_the_answers_in_clickhouse(social: Settings, sql: Client, tmp_path: Path) -> None:
    with running(Server()) as server:
        first = settings_of(social, tmp_path / "one", openai_api_key=SecretStr("k"), openai_base_url=server.url)
        publish(social, post("reddit:c1", "good coin for everyone $XRP"))
        feed(first, lambda: len(rows(sql, "reddit:c")) == 1)
        second = settings_of(social, tmp_path / "two", openai_api_key=SecretStr("k"), openai_base_url=server.url)
        publish(social, post("reddit:c2", "Good coin for everyone $xrp!".replace("!", "")))
        feed(second, lambda: len(rows(sql, "reddit:c")) == 2)
        assert len(server.requests) == 1
    spent = "SELECT sum(cost_usd) > 0, count() FROM social_buzz FINAL WHERE startsWith(event_id, 'reddit:c')"
    assert sql.query(spent).result_rows == [(True, 2)]


def test_a_post_delivered_again_or_rated_again_counts_once(social: Settings, sql: Client, tmp_path: Path) -> None:
    again = post("reddit:d1", "dogecoin to the moon")
    publish(social, again, again, packed=1)
    feed(settings_of(social, tmp_path), lambda: len(rows(sql, "reddit:d")) == 1)
    with running(Server()) as server:
        publish(social, again, post("reddit:d2", "good dogecoin"))
        settings = settings_of(social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url)
        feed(settings, lambda: len(rows(sql, "reddit:d")) == 2)
    query = "SELECT model, mentions, author_count FROM dash_sentiment WHERE symbol = 'DOGE' ORDER BY model"
    total = sql.query("SELECT sum(mentions) FROM dash_sentiment WHERE symbol = 'DOGE'").result_rows
    assert total == [(2,)]
    assert {r[0] for r in sql.query(query).result_rows} == {"gpt-4o-mini"}


def test_an_embedded_post_has_its_vector(social: Settings, sql: Client, tmp_path: Path) -> None:
    with running(Server()) as server:
        settings = settings_of(
            social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url, social_embed_top=1
        )
        publish(social, post("reddit:e1", "good $LTC", engagement=9), post("reddit:e2", "bad $LTC"))
        feed(settings, lambda: len(rows(sql, "reddit:e")) == 2)
    query = "SELECT event_id, length(embedding) FROM social_embeddings FINAL"
    assert sql.query(query).result_rows == [("reddit:e1", 512)]


def test_a_post_that_is_refused_goes_to_the_rejected_events_redacted(
    social: Settings, sql: Client, tmp_path: Path
) -> None:
    with running(Server()) as server:
        server.judge = lambda posts: Fault(refusal=True) if any("awful" in p["text"] for p in posts) else None
        publish(social, post("reddit:f1", "awful $BNB post of joe@example.com"), post("reddit:f2", "good $BNB"))
        settings = settings_of(social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url)
        feed(settings, lambda: len(rows(sql, "reddit:f")) == 1)
    query = "SELECT raw FROM rejected_events FINAL WHERE reason = 'sentiment: refused'"
    assert sql.query(query).result_rows == [("awful $BNB post of [EMAIL]",)]


def test_a_backfill_rates_by_batch_what_the_lexicon_had_rated(social: Settings, sql: Client, tmp_path: Path) -> None:
    publish(social, *(post(f"reddit:g{i}", f"good $AAVE number {i}") for i in range(20)))
    feed(settings_of(social, tmp_path), lambda: len(rows(sql, "reddit:g")) == 20)
    assert {r[1] for r in rows(sql, "reddit:g").values()} == {lexicon.MODEL}
    with running(Server()) as server:
        settings = settings_of(
            social, tmp_path, openai_api_key=SecretStr("k"), openai_base_url=server.url, social_batch_poll_s=0.1
        )
        asyncio.run(run_backfill(settings, idle_seconds=3, kafka=KAFKA))
        assert len(server.batches) == 1
        assert not any("AAVE" in text for texts in server.texts for text in texts)
    wait_for(lambda: {r[1] for r in rows(sql, "reddit:g").values()} == {"gpt-4o-mini"})
    mentions = "SELECT sum(mentions) FROM dash_sentiment WHERE symbol = 'AAVE'"
    assert sql.query(mentions).result_rows == [(20,)]


def test_the_command_drains_on_sigterm_and_says_when_it_is_ready(social: Settings, sql: Client, tmp_path: Path) -> None:
    environment = os.environ | {
        "CHCTL_CLICKHOUSE_URL": social.clickhouse_url,
        "CHCTL_CLICKHOUSE_DATABASE": social.clickhouse_database,
        "CHCTL_KAFKA_BROKERS": social.kafka_brokers,
        "CHCTL_DATA_DIR": str(tmp_path),
        "CHCTL_SOCIAL_BATCH_SECONDS": "60",  # the window stays open: only the end of the process closes it
        "CHCTL_LOG_LEVEL": "DEBUG",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (tmp_path / "log").open("wb") as log:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        command = [sys.executable, str(PROJECT_DIR / "cli.py"), "feed", "social"]
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=PROJECT_DIR)
        try:
            assert b"READY=1" in notify.recv(1000)
            publish(social, *(post(f"reddit:k{i}", f"secret words {i} about $TRX") for i in range(30)))
            wait_for(lambda: b'"messages": 10' in (tmp_path / "log").read_bytes())  # three posts a message
            assert rows(sql, "reddit:k") == {}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert b"STOPPING=1" in notify.recv(1000)
        finally:
            process.kill()
    wait_for(lambda: len(rows(sql, "reddit:k")) == 30)
    said = (tmp_path / "log").read_text()
    assert '"posts": 30' in said
    assert "secret words" not in said  # no text in the logs


def test_neither_text_nor_key_is_logged_whatever_goes_wrong(social: Settings, sql: Client, tmp_path: Path) -> None:
    """A process at level DEBUG, a key in a file, and one fault after the other before the provider is well."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/chctl_openai_api_key").write_text("sk-hush-hush")
    echo = json.dumps({"error": {"message": "no: hidden words 1 about $XMR", "type": "x", "code": None}}).encode()
    with running(Server()) as server, (tmp_path / "log").open("wb") as log:
        faults = [Fault(500, echo), Fault(400, echo), Fault(cut=True), Fault(output="hidden words"), throttled("10ms")]
        server.faults.extend([*faults, Fault(refusal=True), Fault(change=lambda answers: answers[1:])])
        environment = os.environ | {
            "CHCTL_CLICKHOUSE_URL": social.clickhouse_url,
            "CHCTL_CLICKHOUSE_DATABASE": social.clickhouse_database,
            "CHCTL_KAFKA_BROKERS": social.kafka_brokers,
            "CHCTL_DATA_DIR": str(tmp_path),
            "CHCTL_SECRETS_DIR": str(tmp_path / "secrets"),
            "CHCTL_OPENAI_BASE_URL": server.url,
            "CHCTL_SOCIAL_BATCH_SECONDS": "1",
            "CHCTL_LOG_LEVEL": "DEBUG",
        }
        command = [sys.executable, str(PROJECT_DIR / "cli.py"), "feed", "social"]
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=PROJECT_DIR)
        try:
            publish(social, *(post(f"reddit:m{i}", f"hidden words {i} about $XMR") for i in range(30)))
            ended = "SELECT uniqExact(id) FROM (SELECT event_id AS id FROM social_buzz WHERE event_id LIKE 'reddit:m%'"
            ended += " UNION ALL SELECT raw AS id FROM rejected_events WHERE raw LIKE 'hidden words%')"
            wait_for(lambda: sql.command(ended) == 30, 60, "every post stored or rejected")
            wait_for(lambda: not server.faults, 5, "every fault used")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    said = (tmp_path / "log").read_text()
    assert len(said.splitlines()) > 5
    assert "hidden words" not in said
    assert "hush" not in said


def test_a_collector_goes_on_where_sigterm_ended_it(social: Settings, tmp_path: Path) -> None:
    """A real process over a real feed: ready, posts published once, ended in time, and nothing again the next time."""
    item = "<item><guid>collected-{0}</guid><title>$DOT news {0}</title><link>https://news.example/{0}</link></item>"
    items = [item.format(i) for i in range(3)]

    class Feed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<rss version='2.0'><channel><title>n</title>{''.join(items)}</channel></rss>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    feed_server = ThreadingHTTPServer(("127.0.0.1", 0), Feed)
    threading.Thread(target=feed_server.serve_forever, daemon=True).start()
    reader = Consumer(consumer_config(social, f"collected-{tmp_path.name}"))
    partitions = reader.list_topics("social_raw", 10).topics["social_raw"].partitions
    reader.assign([TopicPartition("social_raw", p, 0) for p in partitions])
    titles: list[str] = []

    def collected() -> list[str]:
        while (message := reader.poll(0.2)) is not None:
            # The topic is shared with the tests beside this one, some of which put what is no JSON on it.
            ours = [line for line in (message.value() or b"").splitlines() if b"$DOT news" in line]
            titles.extend(json.loads(line)["text"] for line in ours)
        return titles

    environment = os.environ | {
        "CHCTL_KAFKA_BROKERS": social.kafka_brokers,
        "CHCTL_DATA_DIR": str(tmp_path),
        "CHCTL_COLLECT_RSS_URLS": f"http://127.0.0.1:{feed_server.server_port}/feed",
        "CHCTL_COLLECT_INTERVAL_S": "1",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    command = [sys.executable, str(PROJECT_DIR / "cli.py"), "feed", "collect", "--source", "rss"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        for run in (1, 2):
            items.append(item.format(10 * run))  # one is new each time
            process = subprocess.Popen(command, env=environment, cwd=PROJECT_DIR)
            try:
                assert b"READY=1" in notify.recv(1000)
                wait_for(lambda expected=3 + run: len(collected()) >= expected, 30, "the posts")
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            finally:
                process.kill()
            while b"STOPPING=1" not in notify.recv(1000):
                pass
    assert len(collected()) == len(set(titles)) == 5
    reader.close()
    feed_server.shutdown()
