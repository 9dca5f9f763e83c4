"""Posts of the Telegram channels and groups that a bot is in, by the Bot API's long polling."""

from __future__ import annotations

from typing import Any

import httpx

from feeders.sources.polling import Cursor, LaterError, Poll, SetupError, ask, post

_SETTING = "CHCTL_TELEGRAM_BOT_TOKEN"


class Telegram:
    """Asking for the updates behind an offset tells Telegram to forget those before it: it is moved by the loop, once
    the broker has the posts.
    """

    name = "telegram"

    def __init__(
        self, client: httpx.AsyncClient, token: str, *, url: str = "https://api.telegram.org", long_poll: int = 25
    ) -> None:
        self._client = client
        self._endpoint = f"{url}/bot{token}/getUpdates"
        self._long_poll = long_poll

    async def poll(self, cursor: Cursor) -> Poll:
        """Up to 100 updates; waits at the service for `long_poll` seconds where there is none."""
        parameters = {
            "offset": cursor.get("offset", 0),
            "timeout": self._long_poll,
            "limit": 100,
            "allowed_updates": ["message", "channel_post"],
        }
        response = await ask(self._client, "POST", self._endpoint, setting=_SETTING, json=parameters)
        try:
            answer = response.json()
        except ValueError:
            raise LaterError("answer is not JSON") from None
        if not answer.get("ok"):
            if response.status_code == 409:
                raise LaterError("another process polls this bot", 30.0)
            raise SetupError(f"Telegram answers {response.status_code}: check {_SETTING}")
        updates = answer["result"]
        posts = [p for u in updates if (p := self._post(u.get("channel_post") or u.get("message") or {}))]
        offset = max((u["update_id"] + 1 for u in updates), default=cursor.get("offset", 0))
        return Poll(posts, {"offset": offset}, 0.0)

    @staticmethod
    def _post(message: dict[str, Any]) -> dict[str, Any] | None:
        text = message.get("text") or message.get("caption") or ""
        chat = message.get("chat", {})
        if not text or chat.get("type") == "private":  # what a person writes to the bot is no post
            return None
        sender = message.get("from") or message.get("sender_chat") or chat
        return post(
            f"telegram:{chat['id']}:{message['message_id']}",
            float(message["date"]),
            "telegram",
            text,
            author=str(sender.get("id", "")),
            language=(message.get("from") or {}).get("language_code", ""),
            metadata={"chat": chat.get("title", "")},
        )
