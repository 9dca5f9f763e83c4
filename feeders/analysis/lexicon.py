"""The analyser that needs no key: VADER, and a crypto lexicon of ours where a post talks of crypto.

VADER: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", 2014.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from feeders.analysis.symbols import in_crypto_context

#: What stands in `model` of a row that this analyser scored. Raise the number with every change of the lexicon: answers
#: are shared by model, and a score must say what it was made with.
MODEL = "lexicon-vader-crypto-1"

LEXICON = Path(__file__).with_name("crypto_lexicon.tsv")

#: |score| below this is neutral: the threshold that VADER's authors give for its compound score.
NEUTRAL = 0.05

_EMOJI = {
    "🚀": "crypto_rocket",
    "📈": "crypto_up",
    "📉": "crypto_down",
    "🌕": "crypto_moon",
    "🌙": "crypto_moon",
    "💎": "crypto_diamond",
    "🐻": "crypto_bear",
    "🐂": "crypto_bull",
    "💀": "crypto_skull",
    "🔥": "crypto_fire",
    "🔴": "crypto_red",
    "🟢": "crypto_green",
}


@dataclass(frozen=True, slots=True)
class Score:
    """A sentiment: score in [-1, 1], its label, and the confidence in [0, 1] with which the analyser gives it."""

    score: float
    label: str
    confidence: float


def label_of(score: float, neutral: float = NEUTRAL) -> str:
    """negative, neutral or positive, by the sign beyond the neutral band."""
    return "positive" if score >= neutral else "negative" if score <= -neutral else "neutral"


def read_lexicon(path: Path = LEXICON) -> dict[str, float]:
    """Word or phrase -> valence in [-4, 4]. Raises ValueError with the line at fault."""
    entries: dict[str, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        term, tab, valence = line.partition("\t")
        if not tab or term != term.lower() or term in entries or not -4 <= float(valence) <= 4:
            raise ValueError(f"{path}:{number}: expected '<lower-case term, once> TAB <valence from -4 to 4>'")
        entries[term] = float(valence)
    return entries


class LexiconAnalyser:
    """Scores one text at a time, in some 100 microseconds; safe to share within a thread."""

    def __init__(self) -> None:
        entries = read_lexicon()
        self._plain = SentimentIntensityAnalyzer()
        self._crypto = SentimentIntensityAnalyzer()
        # VADER looks single words up: a phrase becomes one word, and its blanks underscores.
        self._crypto.lexicon.update({term.replace(" ", "_"): valence for term, valence in entries.items()})
        phrases = sorted((re.escape(t) for t in entries if " " in t), key=len, reverse=True)
        self._phrases = re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", re.IGNORECASE)
        self._emoji = re.compile("|".join(_EMOJI))

    def score(self, text: str, *, crypto: bool = False) -> Score:
        """Score a redacted text; `crypto` says that symbols were found in it, otherwise its wording decides."""
        if crypto or in_crypto_context(text):
            text = self._emoji.sub(lambda m: f" {_EMOJI[m.group()]} ", text.replace("\u2019", "'"))
            text = self._phrases.sub(lambda m: m.group().replace(" ", "_"), text)
            polarity = self._crypto.polarity_scores(text)
        else:
            polarity = self._plain.polarity_scores(text)
        compound = float(polarity["compound"])
        # The share of the words that agree with the sign: a text without a known word is neutral, and not surely so.
        agreeing = max(polarity["pos"], polarity["neg"]) if abs(compound) >= NEUTRAL else polarity["neu"] / 2
        return Score(compound, label_of(compound), round(min(1.0, 0.3 + 0.7 * float(agreeing)), 3))


@cache
def analyser() -> LexiconAnalyser:
    """The process's analyser; loading takes some 50 ms."""
    return LexiconAnalyser()
