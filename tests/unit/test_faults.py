"""How long an OpenAI-compatible server wants to be left alone, in every form in which it says so.

The recorded errors hold no 429, so the forms are those of the service's documentation.
"""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from feeders.analysis.faults import wait_of


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after": "9"}, "Please try again in 2s.", 9.0),
        ({"retry-after": "soon"}, "Please try again in 1m30s.", 90.0),
        ({}, "Limit 200000, Used 199000. Please try again in 84ms. Visit the page.", 0.084),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1.5s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "400ms",
            },
            "",
            1.5,
        ),
        ({"x-ratelimit-remaining-tokens": "5000", "x-ratelimit-reset-tokens": "6m0s"}, "", None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "whenever"}, "", None),
        ({}, "Rate limit reached.", None),
    ],
)
def test_the_wait_is_the_first_that_the_server_names(headers: dict[str, str], text: str, seconds: float | None) -> None:
    assert wait_of(headers, text) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_is_a_wait_too_and_one_that_is_over_is_none() -> None:
    assert wait_of({"retry-after": formatdate(time() + 30, usegmt=True)}, "") == pytest.approx(30, abs=2)
    assert wait_of({"retry-after": formatdate(time() - 30, usegmt=True)}, "") == 0.0
