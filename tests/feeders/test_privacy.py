"""Pseudonyms, coarse addresses and coarse browsers."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.privacy import Pseudonyms, coarse_user_agent, ip_prefix

KEY = b"0123456789abcdef"


def test_pseudonyms_depend_on_the_key_and_on_nothing_else() -> None:
    one, same, other = Pseudonyms(KEY), Pseudonyms(KEY), Pseudonyms(KEY + b"!")
    assert one.session("s") == same.session("s") != other.session("s")
    assert one.user("7") == same.user("7") != other.user("7")


def test_a_session_and_a_user_with_equal_ids_do_not_meet() -> None:
    hashes = Pseudonyms(KEY)
    assert f"{hashes.user('7'):016x}" not in hashes.session("7")


@given(st.text())
def test_only_the_empty_user_is_anonymous(user_id: str) -> None:
    assert (Pseudonyms(KEY).user(user_id) == 0) == (user_id == "")


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 65])
def test_a_key_of_the_wrong_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        Pseudonyms(key)


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::77", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_an_address_becomes_its_network(address: str, prefix: str) -> None:
    assert ip_prefix(address) == prefix


@given(st.ip_addresses())
def test_no_address_survives(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    network = ipaddress.ip_network(ip_prefix(str(address)))
    assert network.num_addresses >= 256


@pytest.mark.parametrize(
    ("header", "coarse"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36", "Chrome 156 Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/156.0.8078.79 Safari/537.36", "Chrome 156 Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/155.0 Safari/537.36 Edg/155.0.1", "Edge 155 Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5) Version/18.1 Safari/605.1.15", "Safari 18 macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Mobile/15E148 Safari/604.1", "Safari 18 iOS"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140 Android"),
        ("curl/8.1 token=abc", "other other"),
        ("", "other other"),
    ],
)
def test_a_browser_keeps_its_family_version_and_system(header: str, coarse: str) -> None:
    assert coarse_user_agent(header) == coarse


@given(st.text())
def test_any_header_becomes_short(header: str) -> None:
    assert len(coarse_user_agent(header)) < 30
