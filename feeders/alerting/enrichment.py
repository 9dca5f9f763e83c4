"""What MongoDB knows of the account behind an alert: tier, country, tags, risk policy.

A page never waits longer than the deadline for it. What could not be had is said in the page, with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any

import structlog
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

log = structlog.get_logger()

#: The fields of an account document that go into a page; nothing else leaves the database.
FIELDS = ("tier", "country", "tags", "risk_policy")


class MongoAccounts:
    """Reads `accounts` documents ({_id or user_id: int, tier, country, tags, risk_policy}), cached for `ttl` seconds.

    `deadline` in seconds covers everything: server selection, connection, query. After a failure the database is left
    alone for `pause` seconds, so that a storm of alerts costs one deadline and not one each.
    """

    def __init__(
        self,
        uri: str,
        *,
        collection: str = "accounts",
        deadline: float = 0.25,
        ttl: float = 60.0,
        pause: float = 5.0,
        size: int = 10_000,
    ) -> None:
        self._deadline, self._ttl, self._pause, self._size = deadline, ttl, pause, size
        # A hung server must not hold a socket for longer than a page may wait.
        milliseconds = max(1, int(deadline * 1000))
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            uri,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            maxPoolSize=4,
            appname="chctl-alerts",
        )
        self._accounts = self._client.get_default_database("chctl")[collection]
        self._cache: OrderedDict[int, tuple[float, dict[str, Any]]] = OrderedDict()
        self._away_until = 0.0
        self._reason = ""

    async def get(self, user_id: int) -> dict[str, Any]:
        """The account's FIELDS with `found: True`; `found: False` where there is none; `error` where nobody can say."""
        now = time.monotonic()
        if (cached := self._cache.get(user_id)) and cached[0] > now:
            self._cache.move_to_end(user_id)
            return cached[1]
        if now < self._away_until:
            return {"error": self._reason}
        try:
            async with asyncio.timeout(self._deadline):
                found = await self._accounts.find_one(
                    {"user_id": user_id}, projection={"_id": 0} | dict.fromkeys(FIELDS, 1)
                )
        except (PyMongoError, TimeoutError, OSError) as error:
            self._reason = (
                f"no answer within {self._deadline:g} s" if isinstance(error, TimeoutError) else type(error).__name__
            )
            self._away_until = time.monotonic() + self._pause
            log.warning("accounts cannot be read; pages go out without them", reason=self._reason)
            return {"error": self._reason}
        account = {"found": found is not None} | {key: value for key, value in (found or {}).items() if key in FIELDS}
        self._cache[user_id] = (now + self._ttl, account)
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)
        return account

    async def close(self) -> None:
        await self._client.close()
