"""Which texts to pay for when the budget does not reach for all: by engagement, without a bias in the sums.

Priority sampling (Duffield, Lund, Thorup, "Priority sampling for estimation of arbitrary subset sums", JACM 2007): a
text of weight w gets the priority w / u, u uniform in (0, 1]; the highest are taken; one that was taken stands for
max(1, tau / w) of its like, tau being the highest priority left out. u comes from the text's hash, so that a restart
takes the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A distinct text that nobody has answered yet: its posts' engagement and the tokens it would cost."""

    key: int  # 64-bit hash of the text
    weight: float  # 1 + engagement, summed over the posts that share the text
    tokens: int


def sample(candidates: list[Candidate], allowance: int) -> Mapping[int, float]:
    """Key -> `sampled_weight` (at least 1) of the candidates that fit into `allowance` tokens, by priority."""
    if sum(c.tokens for c in candidates) <= allowance:
        return {c.key: 1.0 for c in candidates}
    ranked = sorted(candidates, key=_priority, reverse=True)
    taken: list[Candidate] = []
    left = allowance
    threshold = 0.0
    for candidate in ranked:
        # The first that does not fit ends it: to go on with shorter ones would favour short texts.
        if candidate.tokens > left:
            threshold = _priority(candidate)
            break
        taken.append(candidate)
        left -= candidate.tokens
    return {c.key: max(1.0, threshold / c.weight) for c in taken}


def _priority(candidate: Candidate) -> float:
    return candidate.weight / ((candidate.key + 1) / 2**64)
