"""The analyser without a key: no worse than VADER on rated tweets, better on crypto wording."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.analysis.lexicon import LexiconAnalyser, label_of, read_lexicon

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import sentiment as bench

ANALYSER = LexiconAnalyser()


def test_no_worse_than_plain_vader_on_the_rated_tweets() -> None:
    rated = bench.tweets()
    if not rated:
        pytest.skip(f"no recorded tweets at {bench.TWEETS}: set CHCTL_CAPTURES")
    ours, plain = bench.evaluate(bench.lexicon(), rated), bench.evaluate(bench.plain_vader(), rated)
    assert ours["answered"] == 1
    assert ours["r"] >= plain["r"]
    assert ours["accuracy"] >= plain["accuracy"]
    assert plain["r"] > 0.87


def test_better_than_plain_vader_on_crypto_posts_that_it_was_not_tuned_on() -> None:
    unseen = bench.crypto_posts(bench.HELD_OUT)
    ours, plain = bench.evaluate(bench.lexicon(), unseen), bench.evaluate(bench.plain_vader(), unseen)
    assert ours["accuracy"] > plain["accuracy"]
    assert ours["r"] > plain["r"]


def test_better_than_plain_vader_on_the_wording_it_was_tuned_on() -> None:
    ours = bench.evaluate(bench.lexicon(), bench.crypto_posts())
    plain = bench.evaluate(bench.plain_vader(), bench.crypto_posts())
    assert ours["accuracy"] > plain["accuracy"] + 0.2
    assert ours["r"] > plain["r"] + 0.2


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("$BTC to the moon 🚀", "positive"),
        ("Rug pull, devs drained the liquidity of this token", "negative"),
        ("open interest in BTC futures is unchanged", "neutral"),
        ("no interest in crypto", "neutral"),
    ],
)
def test_crypto_wording(text: str, label: str) -> None:
    assert ANALYSER.score(text).label == label


def test_everyday_words_keep_their_everyday_meaning_elsewhere() -> None:
    assert ANALYSER.score("The moon is bright tonight").label == "positive"  # by "bright", as VADER has it
    assert ANALYSER.score("a full moon").score == 0
    assert ANALYSER.score("a full moon", crypto=True).score > 0


@given(st.text())
def test_any_text_has_a_score_in_range_that_agrees_with_its_label(text: str) -> None:
    score = ANALYSER.score(text, crypto=True)
    assert -1 <= score.score <= 1
    assert 0 <= score.confidence <= 1
    assert score.label == label_of(score.score)


def test_a_broken_lexicon_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_text("moon\t2\nMoon\t9\n")
    with pytest.raises(ValueError, match=r"lexicon\.tsv:2"):
        read_lexicon(path)
