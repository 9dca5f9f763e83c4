"""Score a sentiment provider on human-rated tweets and on our labelled crypto posts: r, 3-class accuracy, cost, speed.

The local lexicon was tuned on one set of our posts; how good it is say the others, which nobody tuned it on.

    python bench/sentiment.py                          the local lexicon beside plain VADER
    python bench/sentiment.py --provider openai        the model in the settings (needs CHCTL_OPENAI_API_KEY), or any
                                                       compatible server by CHCTL_OPENAI_BASE_URL
    python bench/sentiment.py --limit 200 --json       fewer tweets; figures as JSON on stdout

The tweets (`sentiment/vader_tweets.tsv`: id, mean rating in [-4, 4], text) are looked for in $CHCTL_CAPTURES, or
../shared/data beside the checkout; without them only our own posts are scored. Truth is cut at +-0.5 of 4, a score at
+-0.05.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from feeders.analysis.lexicon import LexiconAnalyser, label_of
from feeders.analysis.redaction import redact

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", ROOT.parent / "shared" / "data"))
TWEETS = CAPTURES / "sentiment" / "vader_tweets.tsv"
#: The lexicon was tuned on the first; the second says how good it is.
POSTS = ROOT / "bench" / "crypto_posts.tsv"
HELD_OUT = ROOT / "bench" / "crypto_posts_heldout.tsv"

#: Texts in, one score in [-1, 1] a text and the cost in USD out; None where the provider gave no answer.
Provider = Callable[[list[str]], tuple[list[float | None], float]]


def tweets(limit: int | None = None) -> list[tuple[float, str]]:
    """(mean human rating in [-1, 1], text) of the recorded tweets, or none where they are not on this machine."""
    if not TWEETS.exists():
        return []
    rows = [line.split("\t", 2) for line in TWEETS.read_text(encoding="utf-8").splitlines()]
    return [(float(rating) / 4, text) for _, rating, text in rows[:limit]]


def crypto_posts(path: Path = POSTS) -> list[tuple[float, str]]:
    """(label -1, 0 or 1, text) of our own posts."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(float(label), text) for label, _, text in (line.partition("\t") for line in lines)]


def plain_vader() -> Provider:
    vader = SentimentIntensityAnalyzer()
    return lambda texts: ([vader.polarity_scores(t)["compound"] for t in texts], 0.0)


def lexicon() -> Provider:
    analyser = LexiconAnalyser()
    return lambda texts: ([analyser.score(redact(t)).score for t in texts], 0.0)


def openai_provider() -> Provider:
    """The model of the settings, through the feeder's own provider; the cap of a day holds here too."""
    from chctl.settings import settings
    from feeders.analysis.ledger import Ledger, Limits
    from feeders.analysis.model import Question
    from feeders.analysis.text import text_hash
    from feeders.analysis.tokens import count
    from feeders.social import provider_of

    s = settings()

    def rate(texts: list[str]) -> tuple[list[float | None], float]:
        clean = [redact(t) for t in texts]
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder) / "bench.sqlite3", Limits(s.social_usd_per_day, s.social_tokens_per_minute))
            provider = provider_of(s, ledger)
            if provider is None:
                raise SystemExit("set CHCTL_OPENAI_API_KEY (any text for a local server)")
            questions = {text_hash(t): Question(text_hash(t), t, count(t)) for t in clean}
            rated = asyncio.run(provider.rate(list(questions.values())))
            cost = ledger.spent()[0]
        return [a.score if (a := rated.answers.get(text_hash(t))) else None for t in clean], cost

    return rate


def evaluate(provider: Provider, rated: list[tuple[float, str]]) -> dict[str, float]:
    """Pearson's r, 3-class accuracy, cost in USD, items a second and the share answered."""
    started = time.perf_counter()
    scores, cost = provider([text for _, text in rated])
    took = time.perf_counter() - started
    answered = [(truth, s) for (truth, _), s in zip(rated, scores, strict=True) if s is not None]
    right = sum(label_of(truth, 0.125) == label_of(s) for truth, s in answered)
    return {
        "items": len(rated),
        "answered": len(answered) / len(rated),
        "r": statistics.correlation([t for t, _ in answered], [s for _, s in answered]),
        "accuracy": right / len(answered),
        "cost_usd": cost,
        "items_per_second": len(rated) / took,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=["lexicon", "openai"], default="lexicon")
    parser.add_argument("--limit", type=int, default=None, help="Score only the first N tweets.")
    parser.add_argument("--json", action="store_true", help="Figures as JSON on stdout.")
    args = parser.parse_args()
    providers: dict[str, Provider] = {"plain VADER": plain_vader()}
    if args.provider == "openai":
        providers["openai"] = openai_provider()
    else:
        providers["lexicon"] = lexicon()
    sets = {"tweets": tweets(args.limit), "crypto, tuned": crypto_posts(), "crypto, unseen": crypto_posts(HELD_OUT)}
    figures = {
        name: {data: evaluate(provider, rated) for data, rated in sets.items() if rated}
        for name, provider in providers.items()
    }
    if args.json:
        print(json.dumps(figures, indent=2))
        return
    if not sets["tweets"]:
        print(f"no recorded tweets at {TWEETS}: only our own posts are scored", file=sys.stderr)
    print(f"{'provider':<14}{'data':<16}{'items':>7}{'r':>8}{'3-class':>9}{'cost USD':>11}{'items/s':>10}")
    for name, by_data in figures.items():
        for data, f in by_data.items():
            print(
                f"{name:<14}{data:<16}{f['items']:>7.0f}{f['r']:>8.3f}{f['accuracy']:>9.3f}"
                f"{f['cost_usd']:>11.5f}{f['items_per_second']:>10.0f}"
            )


if __name__ == "__main__":
    main()
