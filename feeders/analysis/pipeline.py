"""A window of posts becomes rows: duplicates share an answer, what was paid for is found again, the budget decides."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from prometheus_client import Counter

from feeders.analysis import lexicon
from feeders.analysis.ledger import Ledger
from feeders.analysis.model import Answer, Post, Question, Rated, Rejected
from feeders.analysis.openai_provider import OpenAIProvider
from feeders.analysis.posts import row
from feeders.analysis.sampling import Candidate, sample
from feeders.analysis.tokens import count

log = structlog.get_logger()

ITEMS = Counter("chctl_social_items_total", "Posts by how they got their answer.", ["how"])


class Vectors(Protocol):
    """A vector store outside ClickHouse."""

    def put(self, vectors: Mapping[int, list[float]]) -> dict[int, str]:
        """Store vectors by text hash; the id of each."""


#: Keys and a model in, the answers that ClickHouse has out. Where it raises, they are paid for.
Lookup = Callable[[list[int], str], dict[int, Answer]]


@dataclass(slots=True)
class Window:
    """What became of a window: (event_id, row of social_processed), and the posts given up with the reason."""

    rows: list[tuple[str, bytes]] = field(default_factory=list)
    rejected: list[tuple[Post, Rejected]] = field(default_factory=list)


@dataclass
class Pipeline:
    """`provider` None scores everything by the lexicon: no key, no cost, marked in `model`."""

    ledger: Ledger | None = None
    provider: OpenAIProvider | None = None
    lookup: Lookup | None = None
    vectors: Vectors | None = None
    embed_top: int = 0
    clock: Callable[[], float] = time.time

    async def process(self, posts: Sequence[Post]) -> Window:
        """Every post ends in exactly one of the window's lists."""
        by_text: dict[int, list[Post]] = defaultdict(list)
        for post in posts:
            by_text[post.text_hash].append(post)
        if self.provider is None or self.ledger is None:
            return self._window(posts, {k: self._by_lexicon(group[0]) for k, group in by_text.items()}, {}, {}, {})
        known = self._known(by_text)
        given_up = self.ledger.given_up([k for k in by_text if k not in known], self.provider.model)
        await self.ledger.look_at_group()
        weights = self._afford([k for k in by_text if k not in known and k not in given_up], by_text)
        rated = await self.provider.rate([self._question(by_text[k][0]) for k in weights])
        rated.rejected |= {k: Rejected(reason) for k, reason in given_up.items()}
        answers = known | rated.answers
        left = {k for k in by_text if k not in answers and k not in rated.rejected}
        answers |= {k: self._by_lexicon(by_text[k][0]) for k in left}
        self._count(by_text, known, rated, left)
        vectors = await self._embed(by_text, answers.keys() - left)
        return self._window(posts, answers, rated.rejected, weights | dict.fromkeys(left, 0.0), vectors)

    # --- answers

    def _known(self, by_text: Mapping[int, list[Post]]) -> dict[int, Answer]:
        """Answers that were paid for, by this group or by whoever filled social_buzz."""
        assert self.ledger is not None
        assert self.provider is not None
        known = self.ledger.answers(by_text, self.provider.model)
        missing = [k for k in by_text if k not in known]
        if missing and self.lookup:
            try:
                found = self.lookup(missing, self.provider.model)
            except Exception as error:  # whatever the driver raises: the answers are then paid for once more
                log.warning("no answers from ClickHouse", error=type(error).__name__)
            else:
                self.ledger.remember(found)
                known |= found
        return known

    def _question(self, post: Post) -> Question:
        return Question(post.text_hash, post.text, count(post.text))

    def _by_lexicon(self, post: Post) -> Answer:
        score = lexicon.analyser().score(post.text, crypto=bool(post.symbols))
        # The words of a text, as VADER splits it; a lexicon knows no tokens.
        return Answer(score.score, score.label, score.confidence, lexicon.MODEL, len(post.text.split()), 0.0)

    def _afford(self, keys: Iterable[int], by_text: Mapping[int, list[Post]]) -> dict[int, float]:
        """Key -> sampled_weight of the texts to pay for now; the rest is sampled out."""
        assert self.ledger is not None
        assert self.provider is not None
        if self.ledger.paused("quota"):
            return {}
        candidates = []
        usd = 0.0
        for key in keys:
            cost, tokens = self.provider.item_bound(count(by_text[key][0].text))
            usd += cost
            weight = sum(1.0 + post.engagement for post in by_text[key])
            candidates.append(Candidate(key, weight, tokens))
        requests = -(-len(candidates) // self.provider.options.items)
        fixed_usd, fixed_tokens = self.provider.cost_bound([])
        total = sum(c.tokens for c in candidates)
        usd_left, tokens_left = self.ledger.affordable()
        usd_left -= fixed_usd * requests
        allowance = total if usd <= usd_left else int(total * usd_left / usd)
        if tokens_left is not None:
            allowance = min(allowance, tokens_left - fixed_tokens * requests)
        return dict(sample(candidates, max(0, allowance)))

    def _count(
        self, by_text: Mapping[int, list[Post]], known: Mapping[int, Answer], rated: Rated, left: set[int]
    ) -> None:
        for key, group in by_text.items():
            first = "reused" if key in known else "rejected" if key in rated.rejected else "asked"
            first = "sampled out" if key in left else first
            ITEMS.labels(first).inc()
            ITEMS.labels(first if first in ("rejected", "sampled out") else "duplicate").inc(len(group) - 1)

    # --- embeddings

    async def _embed(self, by_text: Mapping[int, list[Post]], keys: Iterable[int]) -> dict[int, list[float]]:
        """Vectors of the `embed_top` texts with the most engagement; duplicates have one vector."""
        if not self.embed_top or self.provider is None:
            return {}
        engagement = {k: sum(p.engagement for p in by_text[k]) for k in keys}
        top = sorted(engagement, key=lambda k: (engagement[k], k), reverse=True)[: self.embed_top]
        return await self.provider.embed({k: by_text[k][0].text for k in top if by_text[k][0].text})

    # --- rows

    def _window(
        self,
        posts: Sequence[Post],
        answers: Mapping[int, Answer],
        rejected: Mapping[int, Rejected],
        weights: Mapping[int, float],
        vectors: Mapping[int, list[float]],
    ) -> Window:
        ids = self.vectors.put(vectors) if self.vectors and vectors else {}
        now_ms = int(self.clock() * 1000)
        window = Window()
        paid: set[int] = set()
        for post in posts:
            key = post.text_hash
            if key in rejected:
                window.rejected.append((post, rejected[key]))
                continue
            answer = answers[key]
            if key in paid:  # the first post of a text carries its cost: sums of cost_usd are money
                answer = Answer(answer.score, answer.label, answer.confidence, answer.model, answer.tokens, 0.0)
            paid.add(key)
            vector = None if key in ids else vectors.get(key)
            encoded = row(
                post, answer, now_ms=now_ms, weight=weights.get(key, 1.0), vector=vector, embedding_id=ids.get(key, "")
            )
            window.rows.append((post.event_id, encoded))
        if self.provider is None:
            ITEMS.labels("lexicon").inc(len(posts))
        return window
