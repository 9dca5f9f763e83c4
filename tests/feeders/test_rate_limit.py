"""Token buckets on a clock that the test turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.rate_limit import TokenBuckets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = Clock()
    buckets = TokenBuckets(rate=10, burst=50, clock=clock)
    assert buckets.take("a", 50) == 0
    assert buckets.take("a", 5) == pytest.approx(0.5)
    clock.now = 0.5
    assert buckets.take("a", 5) == 0
    assert buckets.take("b", 50) == 0, "clients do not share a bucket"


def test_a_request_above_the_burst_passes_with_a_full_bucket() -> None:
    clock = Clock()
    buckets = TokenBuckets(rate=1, burst=10, clock=clock)
    assert buckets.take("a", 100) == 0
    assert buckets.take("a", 100) == pytest.approx(10)


def test_memory_is_bounded_and_the_longest_unused_goes() -> None:
    buckets = TokenBuckets(rate=0.001, burst=1, max_clients=2, clock=Clock())
    assert [buckets.take(client, 1) for client in "abc"] == [0, 0, 0]
    assert len(buckets) == 2
    assert buckets.take("c", 1) > 0
    assert buckets.take("a", 1) == 0, "a was forgotten"


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 60)), max_size=50))
def test_no_client_ever_gets_more_than_burst_and_rate_allow(steps: list[tuple[float, float]]) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate=7, burst=50, clock=clock)
    taken = 0.0
    for pause, tokens in steps:
        clock.now += pause
        if buckets.take("a", tokens) == 0:
            taken += min(tokens, 50)
        assert taken <= 50 + 7 * clock.now + 1e-6
