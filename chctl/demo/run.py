"""Run the demo: node, topics, schema, feed, alert feeder and webhook; watch; settle; balance the ledger."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.live import Live

from chctl import migrate, rules, topics
from chctl.clickhouse import connect
from chctl.contracts import load_all
from chctl.demo import screen, social
from chctl.demo.exchange import SimulatedVenue, incidents, simulate
from chctl.demo.incident import PulledDepth
from chctl.demo.ledger import Alerts, Ledger, streams
from chctl.demo.receiver import Receiver
from chctl.node import broker
from chctl.node.page import PATH
from chctl.node.run import NodeProcess, start_process
from chctl.settings import PROJECT_DIR, Settings
from feeders.market import Replay, Report, run_market
from feeders.replay import recording
from feeders.runtime import Publisher, Stop
from feeders.sources import Venue, venue

#: How long the rows and alerts under way may take after the feed has ended.
SETTLE_SECONDS = 25.0
#: An alert needs an incident no older than this many seconds to count as its echo.
NOTICED_WITHIN_SECONDS = 20


@dataclass(frozen=True)
class Options:
    """What to show. `seconds` bounds the feed; 0 plays a recording to its end."""

    seconds: float = 55
    capture: Path | None = None
    venue: str = "binance"
    symbol: str = "BTCUSDT"
    speed: float = 1
    incident_at: float | None = None
    seed: int = 1
    data_dir: Path | None = None


@dataclass(frozen=True)
class Feed:
    """What is played, what it is called on screen, and what should be noticed: (book, second, incident)."""

    source: Replay
    title: str
    expected: list[tuple[str, float, str]]


def feed(options: Options) -> Feed:
    """The feed of the options. Raises ValueError for a venue the incident cannot be written over."""
    if options.capture is None:
        if not (options.seconds and options.speed):
            raise ValueError("a simulated venue never ends and cannot hurry without bound: give --for and a --speed")
        length = options.seconds * options.speed
        planned = incidents(length)
        source = Replay(
            cast(Venue, SimulatedVenue()),
            simulate(length, planned, seed=options.seed),
            speed=options.speed,
            now=True,
        )
        title = f"SIMULATED VENUE, no real market (seed {options.seed}): "
        title += "; ".join(map(str, planned)) or "no incidents, the feed is too short for them"
        expected = [(f"simulated:{i.symbol}", i.start, str(i)) for i in planned if i.kind != "burst"]
        return Feed(source, title, expected)
    title = f"recording {options.capture.name} at {f'{options.speed:g} x' if options.speed else 'full speed'}"
    expected = []
    pulled = None
    if options.incident_at is not None:
        if not options.venue.startswith("binance"):
            raise ValueError("--incident-at is written over Binance recordings only")
        pulled = PulledDepth(options.incident_at)
        title += f"; INCIDENT WRITTEN OVER IT: {pulled}"
        expected = [(f"{options.venue}:{options.symbol}", pulled.start, str(pulled))]
    source = Replay(
        venue(options.venue),
        recording(options.capture, options.symbol),
        speed=options.speed,
        now=True,
        transform=pulled,
    )
    return Feed(source, title, expected)


def run(options: Options, console: Console) -> Ledger:
    """Run it and give the ledger. Everything it started has ended when it returns."""
    chosen = feed(options)
    data_dir = options.data_dir or Path(tempfile.mkdtemp(prefix="chctl-demo-"))
    with ExitStack() as stack:
        if options.data_dir is None:
            stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        with console.status("starting ClickHouse and a broker"):
            node = stack.enter_context(_node(data_dir))
        settings = node.settings()
        console.print(f"charts while it runs: {settings.clickhouse_url}{PATH}", highlight=False)
        with console.status("applying topics, migrations and views"):
            topics.apply(settings, topics.read(settings, load_all(PROJECT_DIR / "contracts")))
            migrate.migrate(settings)
        client = stack.enter_context(connect(settings))
        if options.speed == 1:  # faster, the stream is over before its end is looked for
            end_soon(client)
        receiver = stack.enter_context(_alert_path(settings, data_dir))
        stack.enter_context(social.talk(settings, data_dir, seed=options.seed, turn_after=options.seconds / 2))
        return _watch(options, chosen, settings, client, receiver, console)


def end_soon(client: Client) -> None:
    """Let the alert about depth end within the minute that is shown, in place of 70 s after its last bad second."""
    for parameter, seconds in {"resolve_s": 5, "flap_s": 3}.items():
        rules.change(client, "liquidity_drop", parameter, seconds, scope="*", by="demo", note="ends while one looks")
    client.command("SYSTEM RELOAD DICTIONARY alert_thresholds")


@contextmanager
def _node(data_dir: Path) -> Iterator[NodeProcess]:
    node = start_process(data_dir)
    try:
        yield node
    finally:
        node.stop()
        broker.stop(data_dir.resolve())


@contextmanager
def _alert_path(settings: Settings, data_dir: Path) -> Iterator[Receiver]:
    """The alert feeder as a process of its own, and the webhook it delivers to."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    secret_dir = data_dir / "secrets"
    secret_dir.mkdir(mode=0o700, exist_ok=True)
    (secret_dir / "chctl_webhook_secret").write_text(secret)
    receiver = Receiver(secret).start()
    environment = {
        **os.environ,
        "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
        "CHCTL_KAFKA_BROKERS": settings.kafka_brokers,
        "CHCTL_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1/32",
        "CHCTL_SECRETS_DIR": str(secret_dir),
    }
    with (data_dir / "alerts.log").open("ab") as errors:
        feeder = subprocess.Popen(
            [sys.executable, "-m", "cli", "feed", "alerts", "--webhook", receiver.url],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        yield receiver
    finally:
        feeder.terminate()
        feeder.wait(30)
        receiver.stop()


class _Feeding(threading.Thread):
    """The market feeder in a thread, so that the screen goes on."""

    def __init__(self, chosen: Feed, settings: Settings) -> None:
        super().__init__(name="feed", daemon=True)
        self.publisher = Publisher(settings)
        self.stop = Stop()
        self.report: Report | None = None
        self._source = chosen.source

    def run(self) -> None:
        """Feed until the source ends or `stop` is set."""
        try:
            self.report = asyncio.run(run_market(self._source, self.publisher, stop=self.stop))
        finally:
            self.publisher.close()


def _watch(
    options: Options, chosen: Feed, settings: Settings, client: Client, receiver: Receiver, console: Console
) -> Ledger:
    feeding = _Feeding(chosen, settings)
    started = time.monotonic()
    feeding.start()
    view: screen.View | None = None
    read_at = started
    plain_at = 0.0
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while feeding.is_alive():
            passed = time.monotonic() - started
            if options.seconds and passed >= options.seconds:
                feeding.stop.set()
            now = time.monotonic()
            view = screen.read(client, feeding.publisher.acknowledged, view, now - read_at)
            read_at = now
            done = passed / options.seconds if options.seconds else 0
            if console.is_terminal:
                live.update(screen.render(view, chosen.title, done, len(receiver.delivered()), options.speed == 1))
            elif now - plain_at >= 5:
                plain_at = now
                counts = ", ".join(f"{s.topic} {s.stored:,} of {s.produced:,}" for s in view.streams)
                mood = ", ".join(f"{symbol} {mean:+.2f}" for symbol, _, mean in view.mood) or "none yet"
                line = f"{passed:4.0f} s  stored {counts}; sentiment {mood}; alerts {len(view.alerts)}"
                console.print(line, highlight=False, soft_wrap=True)
            feeding.join(0.5)
    feeding.stop.set()
    feeding.join()
    if feeding.report is None:
        raise RuntimeError("the market feeder failed; see the traceback above")
    if not console.is_terminal:
        console.print(chosen.title, highlight=False, soft_wrap=True)
    with console.status("settling"):
        return _settle(chosen, feeding.report.produced, client, receiver)


def _settle(chosen: Feed, produced: Mapping[str, int], client: Client, receiver: Receiver) -> Ledger:
    """Give what is under way time to arrive, and a second more for what should not arrive at all.

    A rule may still be running when the rows are stored: the ledger counts only once it balances twice, a second apart.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    pauses = [0.0, 1.0]
    ledger = balance(chosen, produced, client, receiver)
    while pauses and time.monotonic() < deadline:
        time.sleep(pauses.pop() if ledger.balances else 0.25)
        ledger = balance(chosen, produced, client, receiver)
    return ledger


def balance(chosen: Feed, produced: Mapping[str, int], client: Client, receiver: Receiver) -> Ledger:
    """The ledger as it stands now."""
    sql = "SELECT alert_id, status, entity, started_time FROM alerts FINAL WHERE rule != 'heartbeat'"
    raised = client.query(sql).result_rows
    first = client.query("SELECT toUnixTimestamp64Milli(min(event_time)) FROM book_topn").result_rows[0][0]
    noticed = [
        (entity, started.timestamp() - first / 1000) for _id, status, entity, started in raised if status == "firing"
    ]
    unnoticed = [
        incident
        for book, start, incident in chosen.expected
        if not any(book == entity and -2 <= at - start <= NOTICED_WITHIN_SECONDS for entity, at in noticed)
    ]
    alerts = Alerts(frozenset((alert_id, status) for alert_id, status, *_ in raised), receiver.delivered())
    return Ledger(streams(client, produced), alerts, unnoticed)
