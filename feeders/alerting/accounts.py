"""What a page wants to know of an account, whoever knows it; see enrichment.py for MongoDB."""

from __future__ import annotations

from typing import Any, Protocol


class Accounts(Protocol):
    """Looks accounts up by user_id."""

    async def get(self, user_id: int) -> dict[str, Any]: ...

    async def close(self) -> None: ...
