"""Rows of `social_raw` in, posts that may leave this process out, and their rows of `social_processed`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from feeders.analysis.model import Answer, Origin, Post
from feeders.analysis.redaction import author_hash, redact
from feeders.analysis.text import text_hash

#: Characters of a post that are looked at; the rest of a longer one says nothing more about its mood.
TEXT_LIMIT = 4000
#: What a collector may say beside the text; anything else is dropped, for it might say who wrote.
_SYMBOL = re.compile(r"[A-Z0-9]{1,16}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


class RawPost(msgspec.Struct):
    """A row of `social_raw`."""

    event_id: str
    event_time: int  # ms UTC
    source: str
    text: str
    author: str | None = None
    language: str | None = None
    url: str | None = None
    symbols: list[str] | None = None
    engagement: int | None = None
    metadata: str | None = None


class Processed(msgspec.Struct):
    """A row of `social_processed`."""

    event_id: str
    event_time: int  # ms UTC
    processed_time: int  # ms UTC
    source: str
    symbols: list[str]
    language: str
    text: str
    text_hash: int
    author_hash: str
    sentiment_score: float
    sentiment_label: str
    confidence: float
    tokens_count: int
    engagement: int
    model: str
    cost_usd: float
    embedding: list[float]
    embedding_id: str
    sampled_weight: float
    metadata: str


_decoder = msgspec.json.Decoder(RawPost)


def read_post(line: bytes, origin: Origin, key: bytes, find: Callable[[str], list[str]]) -> Post:
    """One line of a message as a post without personal data.

    `key` hashes the author; `find` gives the symbols of a text that came without. Raises ValueError (without any of the
    text) where the line is no row of `social_raw`.
    """
    try:
        raw = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not raw.event_id or not raw.source or raw.event_time <= 0:
        raise ValueError("event_id, event_time and source must not be empty")
    text = redact(raw.text[:TEXT_LIMIT])[:TEXT_LIMIT]
    return Post(
        event_id=_event_id(raw, key),
        event_time=raw.event_time,
        source=raw.source,
        author_hash=author_hash(key, raw.source, raw.author or ""),
        language=(raw.language or "") if _LANGUAGE.fullmatch(raw.language or "") else "",
        text=text,
        text_hash=text_hash(text),
        symbols=tuple(filter(_SYMBOL.fullmatch, raw.symbols)) if raw.symbols else tuple(find(text)),
        engagement=max(0, raw.engagement or 0),
        metadata=clean_metadata(raw.metadata or ""),
        origin=origin,
    )


def _event_id(raw: RawPost, key: bytes) -> str:
    """The id as it came, or its keyed hash where it holds personal data (a link with a token, an account's number)."""
    if redact(raw.event_id) == raw.event_id:
        return raw.event_id
    return f"{raw.source}:{author_hash(key, 'event_id', raw.event_id)}"


def clean_metadata(metadata: str) -> str:
    """A JSON object with every string in it redacted; anything else becomes empty."""
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError):
        return ""
    return json.dumps(_clean(value), ensure_ascii=False, separators=(",", ":")) if isinstance(value, dict) else ""


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {redact(str(k)): _clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, int) and not isinstance(value, bool):
        cleaned = redact(str(value))
        return value if cleaned == str(value) else cleaned
    return value


def row(
    post: Post, answer: Answer, *, now_ms: int, weight: float, vector: list[float] | None = None, embedding_id: str = ""
) -> bytes:
    """The row of `social_processed` for a post. `vector` is left out where a vector store keeps it under an id."""
    return msgspec.json.encode(
        Processed(
            event_id=post.event_id,
            event_time=post.event_time,
            processed_time=now_ms,
            source=post.source,
            symbols=list(post.symbols),
            language=post.language,
            text=post.text,
            text_hash=post.text_hash,
            author_hash=post.author_hash,
            sentiment_score=answer.score,
            sentiment_label=answer.label,
            confidence=answer.confidence,
            tokens_count=answer.tokens,
            engagement=post.engagement,
            model=answer.model,
            cost_usd=answer.cost_usd,
            embedding=vector or [],
            embedding_id=embedding_id,
            sampled_weight=weight,
            metadata=post.metadata,
        )
    )
