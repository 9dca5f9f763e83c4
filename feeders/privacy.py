"""What a person's data becomes before it leaves a feeder: keyed hashes of identifiers, coarse networks and browsers.

Nothing here can be undone without the key, and the same input always gives the same output, so that sessions and users
can still be counted and joined. A new key starts new pseudonyms: yesterday's and today's then no longer join.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache


class Pseudonyms:
    """Keyed BLAKE2b hashes of session and user ids; each kind has its own domain, so equal ids do not collide."""

    def __init__(self, key: bytes) -> None:
        """Raise ValueError for a key of under 16 or over 64 bytes (BLAKE2b takes no longer one)."""
        if not 16 <= len(key) <= 64:
            raise ValueError(f"the hash key must have 16 to 64 bytes, it has {len(key)}")
        self._session = hashlib.blake2b(digest_size=16, key=key, person=b"chctl.session")
        self._user = hashlib.blake2b(digest_size=8, key=key, person=b"chctl.user")

    def session(self, session_id: str) -> str:
        """32 hex digits for a session id."""
        digest = self._session.copy()
        digest.update(session_id.encode())
        return digest.hexdigest()

    def user(self, user_id: str) -> int:
        """An unsigned 64-bit number for a user id; 0, which means anonymous, only for the empty id."""
        if not user_id:
            return 0
        digest = self._user.copy()
        digest.update(user_id.encode())
        return int.from_bytes(digest.digest(), "little") or 1


@lru_cache(maxsize=65536)
def ip_prefix(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 address; '' for what is no address (a unix socket)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return ip_prefix(str(ip.ipv4_mapped))
        return str(ipaddress.ip_network((int(ip), 48), strict=False))
    return str(ipaddress.ip_network((int(ip), 24), strict=False))


# Order matters: Edge and Opera also say Chrome, Chrome also says Safari.
_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"OPR/(\d+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"(?:HeadlessChrome|Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"Version/(\d+)[^ ]* (?:Mobile/\w+ )?Safari/")),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@lru_cache(maxsize=4096)
def coarse_user_agent(user_agent: str) -> str:
    """Browser family, major version and system (`Chrome 156 Linux`); the rest of the header identifies people.

    A parser library would name more devices, at milliseconds for each header it has not seen: an open door for
    whoever sends random headers to a public endpoint.
    """
    text = user_agent[:512]
    system = next((name for mark, name in _SYSTEMS if mark in text), "other")
    for family, pattern in _BROWSERS:
        match = pattern.search(text)
        if match:
            return f"{family} {match[1][:4]} {system}"
    return f"other {system}"
