"""Tokens counted offline, and questions packed into requests by count and by tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpe_openai

    from feeders.analysis.model import Question

#: Tokens that an item costs beside its text: the id, the keys and the punctuation around them (measured with o200k).
ITEM_OVERHEAD = 14
#: Tokens that one answer takes at most: {"id":"a1b2c3","score":-0.85,"confidence":0.95}, with room for long floats.
ANSWER_TOKENS = 48


@cache
def _encoding(name: str) -> bpe_openai.Encoding:
    import bpe_openai  # half a second to load: only where tokens are counted

    return bpe_openai.get_encoding(name)


def count(text: str, encoding: str = "o200k_base") -> int:
    """Tokens of `text`; o200k_base is the vocabulary of gpt-4o and later."""
    return len(_encoding(encoding).encode_ordinary(text))


def pack(questions: Iterable[Question], *, items: int, tokens: int) -> Iterator[list[Question]]:
    """Requests of at most `items` questions and `tokens` input tokens, in order; a longer question stands alone."""
    batch: list[Question] = []
    used = 0
    for question in questions:
        size = question.tokens + ITEM_OVERHEAD
        if batch and (len(batch) >= items or used + size > tokens):
            yield batch
            batch, used = [], 0
        batch.append(question)
        used += size
    if batch:
        yield batch
