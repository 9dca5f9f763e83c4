"""A clickhouse-connect client for the node that the settings name."""

from __future__ import annotations

from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from chctl.settings import Settings


def connect(s: Settings, *, database: str | None = None, timeout: float | None = None) -> Client:
    """Open an HTTP(S) client on `s.clickhouse_url`.

    `database=""` connects without one (before it exists); None takes the database of the settings. `timeout` in
    seconds bounds connecting and each answer; None leaves the driver's own 10 and 300.
    Raises clickhouse_connect.driver.exceptions.Error where the node cannot be reached or refuses the user.
    """
    url = urlsplit(s.clickhouse_url)
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
