"""Two posts that say the same: one normal form, one hash, one answer to pay for."""

from __future__ import annotations

import re
from hashlib import blake2b

from feeders.analysis.redaction import HANDLE, URL

_DROPPED = re.compile("|".join(map(re.escape, (HANDLE, URL))))
_RETWEET = re.compile(rf"^\s*(?:rt|via)\b\s*(?:{re.escape(HANDLE)})?\s*:?", re.IGNORECASE)
_REPEATED = re.compile(r"(\D)\1{2,}")
_SPACE = re.compile(r"\s+")


def normalize(text: str) -> str:
    """The normal form of a redacted post: no retweet prefix, handle or link, folded case, runs cut to two.

    Punctuation and emoji stay: "moon" and "moon?" do not say the same. Digits stay all: 1000 is not 10000.
    """
    text = _DROPPED.sub(" ", _RETWEET.sub("", text))
    return _SPACE.sub(" ", _REPEATED.sub(r"\1\1", text.casefold())).strip()


def text_hash(text: str) -> int:
    """64 bits of BLAKE2b over the normal form; near-duplicates share it."""
    return int.from_bytes(blake2b(normalize(text).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
