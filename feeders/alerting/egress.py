"""The HTTP client of every channel: bounded in time, and unable to reach addresses it has no business with.

A webhook URL is configuration, yet DNS belongs to somebody else: a name may resolve to 169.254.169.254 or to the
database beside us. So names are resolved here, each address is judged, and the connection goes to the very address that
was judged (no second lookup to rebind). Redirects are new connections and pass the same gate.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import httpcore
import httpx

from feeders.alerting.model import Result

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddress(httpcore.ConnectError):
    """The name leads to an address that is neither public nor allowed by CHCTL_WEBHOOK_ALLOW_PRIVATE."""


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """True for public unicast addresses and those within `allowed`; judges an IPv4 address inside an IPv6 one too."""
    if any(address in network for network in allowed if network.version == address.version):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if embedded is None and address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return is_allowed(embedded, allowed)
    return address.is_global and not address.is_multicast


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to allowed addresses only."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = [ipaddress.ip_network(network) for network in allowed]
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), timeout)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"cannot resolve {host}: {error}") from error
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"resolving {host} took over {timeout} s") from error
        addresses = list(dict.fromkeys(str(info[4][0]).split("%")[0] for info in found))
        # One refused address refuses the name: an answer that mixes public and private is an attack or a mistake.
        for address in addresses:
            if not is_allowed(ipaddress.ip_address(address), self.allowed):
                raise RefusedAddress(
                    f"{host} leads to {address}, which is not public: "
                    f"add its network to CHCTL_WEBHOOK_ALLOW_PRIVATE if that is meant"
                )
        last: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()  # 50 ms of reading certificates, once


class Egress:
    """POSTs for channels. `timeout` bounds a whole attempt in seconds, however slowly the far end drips."""

    def __init__(self, *, allowed: Iterable[str] = (), timeout: float = 10.0, redirects: int = 0) -> None:
        self.timeout = timeout
        transport = httpx.AsyncHTTPTransport()
        # httpx has no argument for the backend below its pool; httpcore has.
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(allowed),
        )
        # trust_env=False: a proxy of the environment would connect in our stead, past the gate.
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=timeout,
            trust_env=False,
            follow_redirects=redirects > 0,
            max_redirects=max(redirects, 1),
            headers={"User-Agent": "chctl-alerts"},
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Result:
        """One attempt. The status line decides: a body that hangs after a 200 does not undo the acceptance."""
        try:
            async with (
                asyncio.timeout(self.timeout),
                self._client.stream("POST", url, content=body, headers=headers) as response,
            ):
                if response.is_success:
                    return Result(outcome="delivered", http_status=response.status_code)
                return await self._refusal(response)
        except TimeoutError:
            return Result(outcome="retry", error=f"no answer within {self.timeout:g} s")
        except httpx.TooManyRedirects as error:
            return Result(outcome="failed", error=f"redirect: {error}")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            return Result(outcome="failed", error=f"bad URL: {error}")
        except httpx.HTTPError as error:
            refused = isinstance(error.__cause__, RefusedAddress)
            text = str(error) or type(error).__name__
            return Result(outcome="failed" if refused else "retry", error=text[:500])

    async def _refusal(self, response: httpx.Response) -> Result:
        status = response.status_code
        text = ""
        try:
            async with asyncio.timeout(1.0):
                async for chunk in response.aiter_text(500):
                    text = chunk[:500]
                    break
        except (TimeoutError, httpx.HTTPError, UnicodeError):
            pass
        if status in (408, 425, 429) or status >= 500:
            return Result(
                outcome="retry",
                http_status=status,
                error=text or f"HTTP {status}",
                retry_after=retry_after(response.headers.get("retry-after")),
            )
        hint = " (redirects are refused unless the channel allows them)" if 300 <= status < 400 else ""
        return Result(outcome="failed", http_status=status, error=(text or f"HTTP {status}") + hint)

    async def close(self) -> None:
        await self._client.aclose()


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as an HTTP date; None where it is absent or not readable."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
