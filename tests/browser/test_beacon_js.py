"""beacon.js in a real browser: real clicks, closed tabs, a gateway that is away; every event once, none lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.beacon_processes import Broker, Gateway, broker, gateway
from tests.browser.chromium import BINARY, Browser, browser
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not BINARY, reason="no Chromium: apt-get install chromium-headless-shell")

HTML = """<!doctype html><title>ticket</title>
<button data-beacon="buy">Buy</button> <button data-beacon="sell">Sell</button> <button>Not watched</button>
<script src="GATEWAY/beacon.js"></script>
<script>
  const flushMs = Number(new URLSearchParams(location.search).get("flush")) || 100;
  const rejected = [];
  const beacon = chctlBeacon({url: "GATEWAY/events", userId: "42", clicks: true, flushMs,
                              onReject: (event, reason) => rejected.push([event.event_type, reason])});
</script>"""
NEVER = "flush=100000000"  # only a hidden or closed page sends


class Site:
    """Serves the page of a trading site, on an origin of its own."""

    def __init__(self) -> None:
        site = self
        self.gateway = ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(HTML.replace("GATEWAY", site.gateway).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as b:
        yield b


@pytest.fixture
def site() -> Iterator[Site]:
    s = Site()
    yield s
    s.close()


@pytest.fixture
def kafka() -> Iterator[Broker]:
    with broker() as b:
        yield b


@pytest.fixture
def beacon(kafka: Broker, site: Site, tmp_path: Path) -> Iterator[Gateway]:
    with gateway(kafka.address, tmp_path, origins=site.origin) as g:
        site.gateway = g.url.removesuffix("/events")
        yield g


def counts(kafka: Broker, count: int) -> dict[str, int]:
    """How often each event id arrived, once `count` different ones have."""

    def read() -> dict[str, int] | None:
        seen: dict[str, int] = {}
        for row in kafka.rows(0):
            seen[row["event_id"]] = seen.get(row["event_id"], 0) + 1
        return seen if len(seen) >= count else None

    return wait_for(read, what=f"{count} events")


@pytest.mark.usefixtures("beacon")
def test_clicks_of_an_open_page_arrive_once_each(chromium: Browser, site: Site, kafka: Broker) -> None:
    page = chromium.open(f"{site.origin}/ticket?token=secret")
    for _ in range(5):
        page.click("[data-beacon=buy]")
        page.click("[data-beacon=sell]")
        page.click("button:not([data-beacon])")
    wait_for(lambda: page.run("beacon.pending") == 0, what="the confirmation")
    page.close()
    assert sorted(counts(kafka, 10).values()) == [1] * 10
    rows = kafka.rows(10)
    assert [row["element"] for row in rows] == ["buy", "sell"] * 5
    assert {row["page"] for row in rows} == {"/ticket"}
    assert len({row["session_id"] for row in rows}) == 1
    assert rows[0]["user_agent"].startswith("Chrome ")


@pytest.mark.usefixtures("beacon")
def test_a_tab_closed_right_after_the_clicks_loses_none(chromium: Browser, site: Site, kafka: Broker) -> None:
    page = chromium.open(f"{site.origin}/ticket?{NEVER}")
    for _ in range(20):
        page.click("[data-beacon=buy]")
    assert page.run("beacon.pending") == 20
    page.close()
    assert sorted(counts(kafka, 20).values()) == [1] * 20

    # The next page of the site confirms what the beacon's unseen answer could not: the same ids again, no others.
    following = chromium.open(f"{site.origin}/ticket")
    wait_for(lambda: following.run("beacon.pending") == 0, what="the confirmation")
    following.close()
    assert len(counts(kafka, 20)) == 20


def test_a_gateway_that_is_away_when_the_tab_closes_gets_the_events_later(
    chromium: Browser, site: Site, kafka: Broker, tmp_path: Path
) -> None:
    with gateway(kafka.address, tmp_path, origins=site.origin) as first:
        site.gateway = first.url.removesuffix("/events")
        page = chromium.open(f"{site.origin}/ticket")
        port = str(urlsplit(first.url).port)
    for _ in range(3):
        page.click("[data-beacon=sell]")
    page.run("beacon.flush()")  # fails: nobody listens
    assert page.run("beacon.pending") == 3
    page.close()
    with gateway(kafka.address, tmp_path, origins=site.origin, port=port):
        page = chromium.open(f"{site.origin}/ticket")
        wait_for(lambda: page.run("beacon.pending") == 0, what="the confirmation")
        page.close()
    assert sorted(counts(kafka, 3).values()) == [1, 1, 1]


def test_a_page_tries_again_while_kafka_hangs(chromium: Browser, site: Site, kafka: Broker, tmp_path: Path) -> None:
    with gateway(kafka.address, tmp_path, origins=site.origin, ack_seconds="0.2") as g:
        site.gateway = g.url.removesuffix("/events")
        page = chromium.open(f"{site.origin}/ticket")
        with kafka.frozen():
            page.click("[data-beacon=buy]")
            refused = "performance.getEntriesByType('resource').some((entry) => entry.responseStatus === 503)"
            wait_for(lambda: page.run(refused), what="a 503")
            assert page.run("beacon.pending") == 1
        wait_for(lambda: page.run("beacon.pending") == 0, what="the confirmation")
        page.close()
    assert len(counts(kafka, 1)) == 1


@pytest.mark.usefixtures("beacon")
def test_more_than_a_beacon_holds_survives_a_closed_tab(chromium: Browser, site: Site, kafka: Broker) -> None:
    page = chromium.open(f"{site.origin}/ticket?{NEVER}")
    page.run("for (let i = 0; i < 40; i++) beacon.track('big', {properties: {pad: 'x'.repeat(5000)}})")
    page.close()
    page = chromium.open(f"{site.origin}/ticket")
    wait_for(lambda: page.run("beacon.pending") == 0, what="the confirmation")
    page.close()
    assert len(counts(kafka, 40)) == 40


@pytest.mark.usefixtures("beacon")
def test_an_event_the_gateway_refuses_is_reported_and_holds_up_no_other(
    chromium: Browser, site: Site, kafka: Broker
) -> None:
    page = chromium.open(f"{site.origin}/ticket")
    page.run("beacon.track('x'.repeat(65)); beacon.track('huge', {properties: {pad: 'x'.repeat(70000)}})")
    page.run("beacon.track('fine')")
    wait_for(lambda: page.run("beacon.pending") == 0, what="the confirmation")
    rejected = page.run("rejected")
    page.close()
    assert [reason for _, reason in rejected] == ["Expected `str` of length <= 64 - at `$.event_type`", "HTTP 413"]
    assert [row["event_type"] for row in kafka.rows(1)] == ["fine"]


def test_a_full_queue_drops_the_oldest_and_says_how_many(chromium: Browser, site: Site) -> None:
    site.gateway = "http://127.0.0.1:9"
    page = chromium.open(f"{site.origin}/ticket?{NEVER}")
    assert page.run("typeof chctlBeacon") == "undefined"  # its gateway is away: the page itself still works
    source = (Path(__file__).parents[2] / "feeders/static/beacon.js").read_text()
    page.run(source)
    page.run("window.b = chctlBeacon({url: 'http://127.0.0.1:9/events', maxQueue: 10, flushMs: 1e9})")
    page.run("for (let i = 0; i < 25; i++) b.track('t' + i)")
    assert page.run("[b.pending, b.dropped]") == [10, 15]
    page.close()
