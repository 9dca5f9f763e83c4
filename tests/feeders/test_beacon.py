"""The beacon gateway as a process, with a real broker behind it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.beacon import MAX_BODY, RefusedError, check_event, page_path, parse_batch
from tests.beacon_processes import HASH_KEY, Broker, Gateway, broker, gateway
from tests.waiting import wait_for

PAGE = "https://trade.example"


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "event_time": time.time_ns() // 1_000_000, "event_type": "click"} | changes


def body(*events: Any, session: str = "s1", **fields: Any) -> bytes:
    return json.dumps({"session_id": session, "events": events} | fields).encode()


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    with broker() as b:
        yield b


@pytest.fixture(scope="module")
def beacon(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway(
        kafka.address, folder, origins=f"{PAGE}/, https://m.example", trusted_proxies="127.0.0.1", burst="1500"
    ) as g:
        yield g


def rows_of(kafka: Broker, *event_ids: str) -> list[dict[str, Any]]:
    """The rows of these events, once each of them is there."""

    def found() -> list[dict[str, Any]]:
        rows = [row for row in kafka.rows(0) if row["event_id"] in event_ids]
        return rows if {row["event_id"] for row in rows} == set(event_ids) else []

    return wait_for(found, what="the rows")


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_way_a_browser_sends_arrives(beacon: Gateway, kafka: Broker, content_type: str, zipped: bool) -> None:
    event_id = f"way-{content_type[:4]}-{zipped}"
    content = body(event(event_id, element="buy", properties={"symbol": "BTCUSDT"}))
    answer = beacon.post(gzip.compress(content) if zipped else content, content_type=content_type)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "rejected": []})
    [row] = rows_of(kafka, event_id)
    assert (row["element"], json.loads(row["properties"])) == ("buy", {"symbol": "BTCUSDT"})


def test_what_identifies_a_person_stays_in_the_gateway(beacon: Gateway, kafka: Broker) -> None:
    content = body(
        event("private", page="https://trade.example/order/7?token=topsecret#frag"),
        session="session-in-clear",
        user_id="alice@example.com",
    )
    beacon.post(content, x_forwarded_for="203.0.113.77", user_agent="Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.1.2")
    [row] = rows_of(kafka, "private")
    assert row["_key"].decode() == row["session_id"]
    assert row["page"] == "/order/7"
    assert (row["ip_prefix"], row["user_agent"]) == ("203.0.113.0/24", "Chrome 156 Linux")
    assert 0 < row["user_id"] < 2**64
    everything = str(row) + beacon.log.read_text()
    for secret in ("session-in-clear", "alice", "topsecret", "203.0.113.77", "156.0.1", HASH_KEY):
        assert secret not in everything


def test_the_same_user_has_the_same_number_in_every_session(beacon: Gateway, kafka: Broker) -> None:
    beacon.post(body(event("u1"), session="a", user_id="42"))
    beacon.post(body(event("u2"), session="b", user_id=42))
    beacon.post(body(event("u3"), session="c"))
    users = {row["event_id"]: row["user_id"] for row in rows_of(kafka, "u1", "u2", "u3")}
    assert users["u1"] == users["u2"] != 0
    assert users["u3"] == 0


def test_both_clocks_are_kept(beacon: Gateway, kafka: Broker) -> None:
    hour_ago = time.time_ns() // 1_000_000 - 3_600_000
    beacon.post(body(event("clock", event_time=hour_ago)))
    [row] = rows_of(kafka, "clock")
    assert row["event_time"] == hour_ago
    assert abs(row["receive_time"] / 1e6 - time.time()) < 60


def test_bad_events_of_a_batch_are_named_and_the_good_ones_pass(beacon: Gateway, kafka: Broker) -> None:
    late = time.time_ns() // 1_000_000 - 8 * 86_400_000
    answer = beacon.post(
        body(
            event("good-1"),
            event("no type", event_type="a"),
            event("late", event_time=late),
            {"event_id": "x"},
            "no event",
            event("list", properties=[1]),
            event("good-2", unknown_field=1),
        )
    )
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    reasons = {bad["index"]: (bad.get("event_id", ""), bad["reason"]) for bad in answer.json()["rejected"]}
    assert set(reasons) == {1, 2, 3, 4, 5}
    assert "event_id" in reasons[1][1]
    assert reasons[2] == ("late", "event_time is 691200 s behind the server")
    assert reasons[3] == ("x", "Object missing required field `event_time`")
    assert "object" in reasons[4][1]
    assert "$.properties" in reasons[5][1]
    assert len(rows_of(kafka, "good-1", "good-2")) == 2


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"session_id": "", "events": []}', 400),
        (b'{"session_id": "\xff", "events": []}', 400),
        (b"[" * 60_000, 400),
        (gzip.compress(body())[:-4], 400),
        (b"\x1f\x8b not gzip", 400),
        (b"x" * (MAX_BODY + 1), 413),
        (gzip.compress(b" " * 50_000_000), 413),
        (body(*[{}] * 1001), 413),
    ],
    ids=["empty", "list", "no session", "not UTF-8", "deep", "cut gzip", "no gzip", "64 KB + 1", "gzip bomb", "events"],
)
def test_a_body_that_cannot_be_taken_is_refused(beacon: Gateway, content: bytes, status: int) -> None:
    answer = beacon.post(content)
    assert answer.status_code == status
    assert answer.text.strip()


def test_a_body_of_64_kb_is_taken_whole(beacon: Gateway, kafka: Broker) -> None:
    frame = len(body(event("full", properties={"pad": ""})))
    content = body(event("full", properties={"pad": "x" * (MAX_BODY - frame)}))
    assert len(content) == MAX_BODY
    assert beacon.post(content).json() == {"accepted": 1, "rejected": []}
    assert len(rows_of(kafka, "full")[0]["properties"]) > 65_000


def test_a_body_without_a_length_is_still_bounded(beacon: Gateway) -> None:
    answer = httpx.post(beacon.url, content=(b" " * 8192 for _ in range(20)))
    assert answer.status_code == 413


def test_other_content_types_are_refused(beacon: Gateway) -> None:
    assert beacon.post(body(), content_type="multipart/form-data").status_code == 415


def test_only_configured_origins_may_send_and_read(beacon: Gateway) -> None:
    preflight = {"origin": PAGE, "access-control-request-method": "POST"}
    allowed = httpx.options(beacon.url, headers=preflight | {"access-control-request-headers": "content-type"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    answer = beacon.post(body(event("origin")), origin=PAGE)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)

    assert httpx.options(beacon.url, headers=preflight | {"origin": "https://evil.example"}).status_code == 400
    refused = beacon.post(body(event("evil")), origin="https://evil.example")
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


def test_a_client_that_sends_too_much_waits_and_others_do_not(beacon: Gateway) -> None:
    greedy, other = "198.51.100.1", "198.51.100.2"
    batch = body(*[{}] * 1000)
    assert beacon.post(batch, x_forwarded_for=greedy).status_code == 200
    refused = beacon.post(batch, x_forwarded_for=greedy)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert beacon.post(batch, x_forwarded_for=other).status_code == 200


def test_an_address_that_no_trusted_proxy_vouches_for_is_ignored(kafka: Broker, tmp_path: Path) -> None:
    with gateway(kafka.address, tmp_path, burst="2", rate="0.01", client="drop") as g:
        assert g.post(body(event("direct")), x_forwarded_for="203.0.113.9").status_code == 200
        assert g.post(body(), x_forwarded_for="203.0.113.10").status_code == 200
        assert g.post(body(), x_forwarded_for="203.0.113.11").status_code == 429
    [row] = rows_of(kafka, "direct")
    assert (row["ip_prefix"], row["user_agent"]) == ("", "")


def test_a_broker_that_hangs_is_answered_with_503_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with broker() as kafka, gateway(kafka.address, tmp_path, ack_seconds="0.3", queue_mb="1", burst="1e9") as g:
        wait_for(lambda: g.post(body(event("before"))).status_code == 200, what="the connection to the broker")
        content = [body(event(f"stuck-{i}", properties={"pad": "x" * 60_000})) for i in range(40)]
        with kafka.frozen():
            statuses = [g.post(c).status_code for c in content]
            assert set(statuses) == {503}
            refused_at_once = time.perf_counter()
            assert g.post(content[0]).headers["retry-after"]
            assert time.perf_counter() - refused_at_once < 0.25, "a full queue must refuse, not wait and keep"
            assert resident_mb(g.process.pid) < 150

        def taken(c: bytes) -> bool:
            return g.post(c).status_code == 200

        for c in content:  # what a browser does with a 503
            wait_for(lambda c=c: taken(c), what="the retry")
        ids = {row["event_id"] for row in kafka.rows(41)}
        assert ids == {"before"} | {f"stuck-{i}" for i in range(40)}


def test_a_stop_delivers_what_is_queued(tmp_path: Path) -> None:
    with broker() as kafka, gateway(kafka.address, tmp_path, ack_seconds="0.2") as g:
        wait_for(lambda: g.post(body(event("first"))).status_code == 200, what="the connection to the broker")
        with kafka.frozen():
            assert g.post(body(event("queued"))).status_code == 503
            g.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                g.process.wait(0.5)
        g.process.wait(10)
        assert "beacon.undelivered" not in g.log.read_text()
        assert {row["event_id"] for row in kafka.rows(2)} == {"first", "queued"}


def test_without_a_hash_key_the_command_says_what_to_do() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("CHCTL_")}
    run = subprocess.run([sys.executable, "-m", "cli", "feed", "beacon"], env=env, capture_output=True, text=True)
    assert run.returncode == 2
    assert "CHCTL_BEACON_HASH_KEY" in run.stderr
    assert "openssl rand -hex 32" in run.stderr


def test_the_script_of_the_pages_is_served(beacon: Gateway) -> None:
    answer = httpx.get(beacon.url.replace("/events", "/beacon.js"))
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "sendBeacon" in answer.text


@given(st.binary(max_size=300))
def test_any_bytes_are_a_batch_or_refused(content: bytes) -> None:
    try:
        batch = parse_batch(content)
    except RefusedError:
        return
    assert 1 <= len(batch.session_id) <= 128


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["event_id", "event_time", "event_type", "element", "page", "properties", "other"])


@given(st.dictionaries(FIELDS, JSON, max_size=7) | JSON)
def test_any_event_is_one_line_of_json_or_refused(value: Any) -> None:
    raw = msgspec.Raw(json.dumps(value).encode())
    try:
        checked, properties = check_event(raw, 0)
    except ValueError:
        return
    line = msgspec.json.encode([checked.event_id, checked.element, page_path(checked.page), properties])
    assert b"\n" not in line
    assert json.loads(line)[3] == properties


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
