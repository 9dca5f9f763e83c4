"""A clickhouse-connect client for the node that the settings name."""

from __future__ import annotations

import logging
import re
from urllib.parse import SplitResult, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError, ProgrammingError

from chctl.settings import Settings

# What the driver logs about an error, it raises, too: a command without a log of its own says it once.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def connect(s: Settings, *, database: str | None = None, timeout: float | None = None) -> Client:
    """Open an HTTP(S) client on `s.clickhouse_url`.

    `database=""` connects without one (before it exists); None takes the database of the settings. `timeout` in
    seconds bounds connecting and each answer; None leaves the driver's own 10 and 300.
    Raises clickhouse_connect.driver.exceptions.Error where the node cannot be reached or refuses the user, and
    where the settings name none.
    """
    url = _checked(s)
    try:
        return clickhouse_connect.get_client(
            interface=url.scheme,
            host=url.hostname or "127.0.0.1",
            port=url.port or (8443 if url.scheme == "https" else 8123),
            username=s.clickhouse_user,
            password=s.clickhouse_password.get_secret_value(),
            database=(s.clickhouse_database if database is None else database) or "default",
            ca_cert=str(s.clickhouse_ca) if s.clickhouse_ca else None,
            autogenerate_session_id=False,
            connect_timeout=timeout or 10,
            send_receive_timeout=timeout or 300,
        )
    except OperationalError as error:
        raise OperationalError(
            f"no ClickHouse answers at {s.clickhouse_url} ({_root(error)}): is it up, is CHCTL_CLICKHOUSE_URL right?"
            " `chctl node` starts one on this machine"
        ) from error


def _root(error: BaseException) -> str:
    """The last words of what an error came from, such as `Connection refused`."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(getattr(error, "strerror", None) or error)


def _checked(s: Settings) -> SplitResult:
    """The parts of the address. Raises ProgrammingError on a setting that cannot work."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", s.clickhouse_database):
        raise ProgrammingError(
            f"CHCTL_CLICKHOUSE_DATABASE is {s.clickhouse_database!r}: use letters, digits and underscores"
        )
    url = urlsplit(s.clickhouse_url)
    try:
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ProgrammingError(f"CHCTL_CLICKHOUSE_URL is {s.clickhouse_url!r}: write http(s)://host:port")
    return url
