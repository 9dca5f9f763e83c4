"""One budget for all processes of a group, and no answer paid twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeders.analysis.ledger import Ledger, Limits, Refusal, Reservation
from feeders.analysis.model import Answer
from feeders.analysis.sampling import Candidate, sample

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def open_ledger(tmp_path: Path, usd: float = 1.0, tokens: int = 0, **kwargs: float) -> tuple[Ledger, Clock]:
    clock = Clock()
    return Ledger(tmp_path / "social.sqlite3", Limits(usd, tokens, **kwargs), clock=clock), clock


def test_the_daily_cap_is_reached_and_never_passed(tmp_path: Path) -> None:
    ledger, clock = open_ledger(tmp_path, usd=1.0)
    taken = [r for r in (ledger.reserve(0.3, 10) for _ in range(5)) if isinstance(r, Reservation)]
    assert len(taken) == 3
    assert ledger.reserve(0.2, 1) == Refusal("daily cap", None)
    ledger.settle(taken[0], 0.05, 8)
    assert isinstance(ledger.reserve(0.2, 1), Reservation)
    clock.now += 86_400
    assert isinstance(ledger.reserve(1.0, 1), Reservation)


def test_what_a_dead_process_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, usd=1.0)
    ledger.reserve(0.9, 10)
    ledger.close()
    reopened, _ = open_ledger(tmp_path, usd=1.0)
    assert isinstance(reopened.reserve(0.2, 1), Refusal)


def test_tokens_of_a_minute_say_how_long_to_wait(tmp_path: Path) -> None:
    ledger, clock = open_ledger(tmp_path, tokens=1000)
    assert isinstance(ledger.reserve(0.0, 600), Reservation)
    clock.now += 10
    assert isinstance(ledger.reserve(0.0, 300), Reservation)
    refusal = ledger.reserve(0.0, 500)
    assert refusal == Refusal("tokens per minute", pytest.approx(50.0))
    clock.now += 50
    assert isinstance(ledger.reserve(0.0, 500), Reservation)
    assert ledger.reserve(0.0, 1001).wait is None  # type: ignore[union-attr]  # it will never fit


def test_processes_share_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "social.sqlite3"
    program = (
        "import sys; from pathlib import Path; from feeders.analysis.ledger import *;"
        "l = Ledger(Path(sys.argv[1]), Limits(1.0, 0));"
        "print(sum(isinstance(l.reserve(0.01, 1), Reservation) for _ in range(60)))"
    )
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(3)
    ]
    granted = [int(p.communicate(timeout=60)[0]) for p in processes]
    assert sum(granted) == 100
    assert Ledger(path, Limits(1.0, 0)).spent()[2] == 100


def test_the_pace_leaves_something_for_the_evening(tmp_path: Path) -> None:
    ledger, clock = open_ledger(tmp_path, usd=24.0, ahead_hours=2.0)
    assert ledger.affordable() == (pytest.approx(14.0), None)
    ledger.reserve(13.0, 1)
    assert ledger.affordable()[0] == pytest.approx(1.0)
    clock.now += 3600
    assert ledger.affordable()[0] == pytest.approx(2.0)


def test_a_pause_holds_for_every_process(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path)
    other, clock = open_ledger(tmp_path)
    ledger.pause("quota", 600)
    assert other.reserve(0.1, 1) == Refusal("quota", pytest.approx(600))
    clock.now += 601
    assert isinstance(other.reserve(0.1, 1), Reservation)


def test_answers_and_vectors_are_found_again_by_text_and_model(tmp_path: Path) -> None:
    ledger, clock = open_ledger(tmp_path)
    big, small = 2**64 - 1, 7
    answer = Answer(0.5, "positive", 0.9, "gpt", 12, 0.001)
    reservation = ledger.reserve(0.1, 10)
    assert isinstance(reservation, Reservation)
    ledger.settle(reservation, 0.05, 9, {big: answer, small: answer}, {big: ("emb", [0.5, -1.25])})
    reopened, _ = open_ledger(tmp_path)
    free = Answer(0.5, "positive", 0.9, "gpt", 12, 0.0)
    assert reopened.answers([big, small, 8], "gpt") == {big: free, small: free}
    assert reopened.answers([big], "other") == {}
    assert reopened.vectors([big, small], "emb") == {big: [0.5, -1.25]}
    clock.now += 31 * 86_400
    ledger.prune()
    assert ledger.answers([big], "gpt") == {}


candidates = st.lists(
    st.builds(Candidate, st.integers(0, 2**64 - 1), st.floats(1, 1e6), st.integers(1, 500)),
    max_size=60,
    unique_by=lambda c: c.key,
)


@settings(max_examples=100)
@given(candidates, st.integers(0, 10_000))
def test_a_sample_fits_and_stands_for_the_rest(posts: list[Candidate], allowance: int) -> None:
    weights = sample(posts, allowance)
    taken = [c for c in posts if c.key in weights]
    assert sum(c.tokens for c in taken) <= allowance
    assert all(w >= 1 for w in weights.values())
    if sum(c.tokens for c in posts) <= allowance:
        assert len(taken) == len(posts)
    assert sample(posts[::-1], allowance) == weights  # a restart in another order takes the same


def test_a_sample_prefers_engagement_and_keeps_the_sum() -> None:
    import random

    rng = random.Random(7)
    estimates, taken_of_the_loud = [], 0
    for _ in range(200):
        posts = [Candidate(rng.getrandbits(64), 100.0 if i < 5 else 1.0, 10) for i in range(100)]
        weights = sample(posts, 300)
        assert len(weights) == 30
        taken_of_the_loud += sum(c.key in weights for c in posts[:5])
        estimates.append(sum(weights.values()))
    assert taken_of_the_loud / 1000 > 0.95
    assert 95 < sum(estimates) / len(estimates) < 105  # 100 posts, seen through 30 of them
