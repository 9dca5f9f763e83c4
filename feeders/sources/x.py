"""Posts of X by its API v2, recent search."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from feeders.sources.polling import Cursor, Poll, SetupError, ask, decoded, post, wait_of

_SETTING = "CHCTL_X_BEARER_TOKEN and CHCTL_X_QUERY"


class X:
    """A poll reads one page. The pages of one search go from new to old: the cursor keeps the place within them, and
    `since_id` moves when the last page is read.
    """

    name = "x"

    def __init__(
        self,
        client: httpx.AsyncClient,
        token: str,
        query: str,
        *,
        url: str = "https://api.x.com",
        interval: float = 60.0,
        page: int = 100,
    ) -> None:
        self._client = client
        self._token = token
        self._query = query
        self._url = url
        self._interval = interval
        self._page = page

    async def poll(self, cursor: Cursor) -> Poll:
        """The next page. Raises LaterError and SetupError."""
        parameters: dict[str, Any] = {
            "query": self._query,
            "max_results": self._page,
            "tweet.fields": "created_at,author_id,lang,public_metrics",
        }
        if since := cursor.get("since_id"):
            parameters["since_id"] = since
        if token := cursor.get("next_token"):
            parameters["next_token"] = token
        response = await ask(
            self._client,
            "GET",
            f"{self._url}/2/tweets/search/recent",
            setting=_SETTING,
            params=parameters,
            headers={"authorization": f"Bearer {self._token}"},
        )
        if response.status_code == 400 and (token or since):
            # A place in old results expires, and since_id reaches back seven days: begin again with what there is.
            kept = {"since_id": since} if token and since else {}
            return Poll([], kept, self._interval)
        if response.status_code == 400:
            raise SetupError(f"X does not take the query: check {_SETTING}")
        answer = decoded(response, _SETTING)
        meta = answer.get("meta", {})
        newest = cursor.get("newest_id") or meta.get("newest_id") or since
        wait = self._interval
        if following := meta.get("next_token"):
            after = {"since_id": since, "newest_id": newest, "next_token": following}
            wait = 0.0
        else:
            after = {"since_id": newest}
        if response.headers.get("x-rate-limit-remaining") == "0":
            wait = max(wait, wait_of(response.headers) or self._interval)
        posts = [self._post(tweet) for tweet in answer.get("data", [])]
        return Poll(posts, {k: v for k, v in after.items() if v}, wait)

    @staticmethod
    def _post(tweet: dict[str, Any]) -> dict[str, Any]:
        metrics = tweet.get("public_metrics", {})
        counted = ("like_count", "retweet_count", "reply_count", "quote_count")
        return post(
            f"twitter:{tweet['id']}",
            datetime.fromisoformat(tweet["created_at"]).timestamp(),
            "twitter",
            tweet["text"],
            author=str(tweet.get("author_id", "")),
            language=tweet.get("lang", ""),
            engagement=sum(int(metrics.get(c, 0)) for c in counted),
        )
