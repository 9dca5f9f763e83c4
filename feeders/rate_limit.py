"""Token buckets for many clients in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class TokenBuckets:
    """A bucket a client: `burst` tokens at most, refilled with `rate` tokens a second.

    At most `max_clients` buckets are kept; the longest unused goes first, which by then is nearly always full again,
    so forgetting it changes nothing.
    """

    def __init__(
        self, rate: float, burst: float, max_clients: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._max_clients, self._clock = rate, burst, max_clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (tokens, at)

    def take(self, client: str, tokens: float) -> float:
        """Take `tokens` from the client's bucket and return 0.0, or take none and return the seconds to wait.

        A request above `burst` could never pass; it needs, and empties, a full bucket.
        """
        now = self._clock()
        left, at = self._buckets.get(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        tokens = min(tokens, self._burst)
        wait = 0.0
        if left >= tokens:
            left -= tokens
        else:
            wait = (tokens - left) / self._rate
        self._buckets[client] = (left, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._buckets)
