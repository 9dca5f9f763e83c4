"""The values that pass between the steps of the social pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a post came from in Kafka; offset -1 and below stand for no place in a topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Post:
    """A post after redaction: what may leave this process."""

    event_id: str
    event_time: int  # ms UTC
    source: str
    author_hash: str
    language: str
    text: str
    text_hash: int
    symbols: tuple[str, ...]
    engagement: int
    metadata: str
    origin: Origin = Origin("", 0, -1)


@dataclass(frozen=True, slots=True)
class Question:
    """A distinct text to be rated, named by its hash; `tokens` is its length in the model's vocabulary."""

    key: int
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What an analyser said of one text, and what the share of this text in the request cost."""

    score: float  # [-1, 1]
    label: str
    confidence: float  # [0, 1]
    model: str
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that the provider would not or could not rate, even alone."""

    reason: str


@dataclass(slots=True)
class Rated:
    """The outcome of a set of questions; a key stands in exactly one of the three."""

    answers: dict[int, Answer] = field(default_factory=dict)
    rejected: dict[int, Rejected] = field(default_factory=dict)
    unpaid: set[int] = field(default_factory=set)  # the budget does not reach
