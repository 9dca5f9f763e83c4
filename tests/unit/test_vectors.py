"""Vectors in Milvus Lite, the real one: ClickHouse then holds the id alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from pydantic import SecretStr

from chctl.settings import Settings
from feeders.analysis.ledger import Ledger, Limits
from feeders.analysis.model import Origin
from feeders.analysis.openai_provider import OpenAIProvider, Options
from feeders.analysis.pipeline import Pipeline
from feeders.analysis.posts import read_post
from feeders.analysis.vectors import MilvusVectors, open_milvus
from tests.openai_server import Server, running


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[MilvusVectors]:
    store = MilvusVectors(str(tmp_path / "vectors.db"), 4)
    yield store
    store.close()


def test_a_text_has_one_vector_and_is_found_by_likeness(vectors: MilvusVectors) -> None:
    big = 2**64 - 1
    assert vectors.put({1: [1.0, 0, 0, 0], big: [0, 1.0, 0, 0]}) == {1: "0" * 15 + "1", big: "f" * 16}
    vectors.put({1: [0, 0, 1.0, 0]})  # given again, it replaces itself
    assert vectors.nearest([0, 0, 1.0, 0], 5)[0] == ("0" * 15 + "1", pytest.approx(1))
    assert len(vectors.nearest([0, 0, 1.0, 0], 5)) == 2


def test_a_row_carries_the_id_and_no_vector(vectors: MilvusVectors, tmp_path: Path) -> None:
    raw = {"event_id": "news:1", "event_time": 1_700_000_000_000, "source": "news", "text": "good BTC"}
    post = read_post(json.dumps(raw).encode(), Origin("t", 0, 0), b"k", lambda _: ["BTC"])
    with running(Server()) as server:
        ledger = Ledger(tmp_path / "social.sqlite3", Limits(5.0, 0))
        client = openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0)
        provider = OpenAIProvider(client, ledger, Options(embedding_dimensions=4))
        window = asyncio.run(Pipeline(ledger, provider, vectors=vectors, embed_top=1).process([post]))
    row = json.loads(window.rows[0][1])
    assert (row["embedding"], row["embedding_id"]) == ([], f"{post.text_hash:016x}")
    assert [name for name, _ in vectors.nearest([1.0, 1.0, 1.0, 1.0], 5)] == [row["embedding_id"]]


def test_without_a_uri_vectors_stay_in_clickhouse() -> None:
    assert open_milvus(Settings(milvus_token=SecretStr(""))) is None
