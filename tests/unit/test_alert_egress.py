"""The HTTP client of the channels: what it refuses to reach, and how it reads an answer."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import RedirectResponse, Response

from feeders.alerting.egress import Egress, is_allowed, retry_after
from feeders.alerting.model import Result
from tests.receiver import Receiver, hang_after


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    it = Receiver().start()
    yield it
    it.stop()


def post(url: str, *, allowed: tuple[str, ...] = ("127.0.0.1/32",), timeout: float = 2.0, redirects: int = 0) -> Result:
    async def go() -> Result:
        egress = Egress(allowed=allowed, timeout=timeout, redirects=redirects)
        try:
            return await egress.post(url, b"{}", {})
        finally:
            await egress.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), [])


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), [])


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_ipv6(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    assert is_allowed(mapped, []) == is_allowed(address, [])


def test_only_the_networks_that_are_named_become_reachable() -> None:
    allowed = [ipaddress.ip_network("10.0.0.0/8")]
    assert is_allowed(ipaddress.ip_address("10.9.9.9"), allowed)
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), allowed)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
def test_no_spelling_of_loopback_is_reached(receiver: Receiver, host: str) -> None:
    result = post(f"http://{host}:{receiver.port}/", allowed=())
    assert result.outcome == "failed"
    assert "CHCTL_WEBHOOK_ALLOW_PRIVATE" in result.error
    assert receiver.got == []


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, receiver.port)) for ip in ("93.184.216.34", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert post(f"http://rebind.example:{receiver.port}/", allowed=()).outcome == "failed"
    assert receiver.got == []


def test_a_redirect_is_refused_unless_allowed(receiver: Receiver) -> None:
    receiver.script = lambda got: RedirectResponse(receiver.url("/there"), 307) if got.path == "/hook" else None
    assert post(receiver.url()) == Result(
        outcome="failed", http_status=307, error="HTTP 307 (redirects are refused unless the channel allows them)"
    )
    assert post(receiver.url(), redirects=1).outcome == "delivered"


def test_an_allowed_redirect_passes_the_same_gate_at_its_next_hop(receiver: Receiver) -> None:
    receiver.script = lambda _got: RedirectResponse(f"http://[::1]:{receiver.port}/there", 307)
    result = post(receiver.url(), redirects=3)
    assert result.outcome == "failed"
    assert "::1" in result.error
    assert len(receiver.got) == 1


def test_a_redirect_loop_ends(receiver: Receiver) -> None:
    receiver.script = lambda _got: RedirectResponse(receiver.url(), 307)
    assert post(receiver.url(), redirects=3).outcome == "failed"
    assert len(receiver.got) == 4


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "delivered"), (204, "delivered"), (400, "failed"), (401, "failed")]
)
@pytest.mark.parametrize("hang", [False, True])
def test_the_status_line_decides_even_when_the_body_never_ends(
    receiver: Receiver, status: int, outcome: str, hang: bool
) -> None:
    receiver.script = lambda _got: hang_after(status) if hang else Response(status_code=status)
    result = post(receiver.url(), timeout=5.0)
    assert (result.outcome, result.http_status) == (outcome, status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.script = lambda _got: Response("later", status, {"retry-after": "7"})
    assert post(receiver.url()) == Result(outcome="retry", http_status=status, error="later", retry_after=7.0)


def test_no_answer_in_time_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = post(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.3)
    assert result == Result(outcome="retry", error="no answer within 0.3 s")


def test_a_closed_port_and_an_unknown_name_are_tried_again(receiver: Receiver) -> None:
    receiver.stop()
    assert post(receiver.url()).outcome == "retry"
    unknown = post("http://no-such-host.invalid/")
    assert unknown.outcome == "retry"
    assert "cannot resolve no-such-host.invalid" in unknown.error


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "http://", "not a url"])
def test_a_url_that_is_none_fails_for_good(url: str) -> None:
    assert post(url).outcome == "failed"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("120") == 120.0
    assert retry_after("-5") == 0.0
    soon = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert soon is not None
    assert 28 < soon <= 30
    assert retry_after(None) is None
    assert retry_after("soon") is None


@given(st.text())
def test_no_retry_after_breaks_the_feeder(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0
