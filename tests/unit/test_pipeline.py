"""A window of posts: duplicates share an answer, answers are paid once, and the budget leaves nobody out unseen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from prometheus_client import REGISTRY

from feeders.analysis import lexicon
from feeders.analysis.ledger import Ledger, Limits
from feeders.analysis.model import Answer, Origin, Post
from feeders.analysis.openai_provider import OpenAIProvider, Options
from feeders.analysis.pipeline import Pipeline, Window
from feeders.analysis.posts import clean_metadata, read_post
from tests.openai_server import Fault, Server, quota, running

KEY = b"k" * 32


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as s:
        yield s


def pipeline_on(server: Server, tmp_path: Path, *, usd: float = 5.0, tokens: int = 0, **kwargs: Any) -> Pipeline:
    ledger = Ledger(tmp_path / "social.sqlite3", Limits(usd, tokens))
    client = openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0, timeout=5)
    provider = OpenAIProvider(client, ledger, Options(first_backoff=0.02, embedding_dimensions=3))
    return Pipeline(ledger, provider, **kwargs)


def post(i: int, text: str, engagement: int = 0) -> Post:
    raw = {
        "event_id": f"reddit:{i}", "event_time": 1_700_000_000_000 + i, "source": "reddit", "author": "joe",
        "text": text, "symbols": ["BTC"], "engagement": engagement,
    }  # fmt: skip
    return read_post(json.dumps(raw).encode(), Origin("social_raw", 0, i), KEY, lambda _: [])


def process(pipeline: Pipeline, posts: list[Post]) -> tuple[dict[str, dict[str, Any]], Window]:
    window = asyncio.run(pipeline.process(posts))
    return {event_id: json.loads(row) for event_id, row in window.rows}, window


def test_near_duplicates_are_asked_once_and_share_the_answer(server: Server, tmp_path: Path) -> None:
    texts = ["good day for BTC", "RT @joe: good day for BTC https://t.co/x", "Good  day for btc", "bad day for BTC"]
    rows, _ = process(pipeline_on(server, tmp_path), [post(i, t) for i, t in enumerate(texts)])
    assert [rows[f"reddit:{i}"]["sentiment_score"] for i in range(4)] == [0.8, 0.8, 0.8, -0.8]
    assert [len(t) for t in server.texts] == [2]
    spent = sum(r["cost_usd"] for r in rows.values())
    assert spent == pytest.approx(pipeline_on(server, tmp_path).ledger.spent()[0])  # type: ignore[union-attr]


def test_a_restart_pays_for_nothing_twice(server: Server, tmp_path: Path) -> None:
    posts = [post(i, f"good coin {i}") for i in range(30)]
    process(pipeline_on(server, tmp_path), posts)  # its rows never reached Kafka
    rows, _ = process(pipeline_on(server, tmp_path), posts)
    assert len(rows) == 30
    assert {r["sentiment_score"] for r in rows.values()} == {0.8}
    assert len(server.requests) == 1


def test_what_had_been_answered_before_a_crash_half_way_is_kept(server: Server, tmp_path: Path) -> None:
    posts = [post(i, f"good coin {i}") for i in range(60)]  # two requests, one of which never comes back
    server.judge = lambda p: Fault(delay=30) if any(x["text"] == "good coin 59" for x in p) else None

    pipeline = pipeline_on(server, tmp_path)
    keys = [p.text_hash for p in posts]

    async def crash() -> None:
        task = asyncio.create_task(pipeline.process(posts))
        while len(server.requests) < 2 or len(pipeline.ledger.answers(keys, "gpt-4o-mini")) < 50:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(crash())
    server.judge = lambda _: None
    process(pipeline_on(server, tmp_path), posts)
    # The first two may come in either order: they travel on connections of their own.
    assert sorted(len(t) for t in server.texts[:2]) == [10, 50]
    assert [sorted(t) for t in server.texts[2:]] == [[f"good coin {i}" for i in range(50, 60)]]


def test_a_post_that_was_given_up_is_not_paid_for_again(server: Server, tmp_path: Path) -> None:
    server.judge = lambda posts: Fault(refusal=True) if any("awful" in p["text"] for p in posts) else None
    posts = [post(0, "good coin"), post(1, "awful coin")]
    process(pipeline_on(server, tmp_path), posts)  # its rows never reached Kafka
    assert sorted(map(len, server.texts)) == [1, 1, 2]
    rows, window = process(pipeline_on(server, tmp_path), posts)
    assert list(rows) == ["reddit:0"]
    assert [(p.event_id, r.reason) for p, r in window.rejected] == [("reddit:1", "refused")]
    assert len(server.texts) == 3


def test_answers_in_clickhouse_are_taken_before_any_is_bought(server: Server, tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def lookup(keys: list[int], model: str) -> dict[int, Answer]:
        asked.append(keys)
        return {keys[0]: Answer(0.25, "positive", 0.5, model, 4, 0.0)}

    posts = [post(0, "good"), post(1, "bad")]
    rows, _ = process(pipeline_on(server, tmp_path, lookup=lookup), posts)
    assert rows["reddit:0"]["sentiment_score"] == 0.25
    assert server.texts == [["bad"]]
    process(pipeline_on(server, tmp_path, lookup=lookup), posts)
    assert len(asked) == 1  # by now the ledger knows


def test_an_unreachable_node_does_not_stop_the_rating(server: Server, tmp_path: Path) -> None:
    def lookup(_keys: list[int], _model: str) -> dict[int, Answer]:
        raise ConnectionRefusedError

    rows, _ = process(pipeline_on(server, tmp_path, lookup=lookup), [post(0, "good")])
    assert rows["reddit:0"]["sentiment_score"] == 0.8


def test_beyond_the_budget_engagement_decides_and_the_rest_is_marked(server: Server, tmp_path: Path) -> None:
    posts = [post(i, f"good coin number {i}", engagement=1000 if i < 5 else 0) for i in range(60)]
    pipeline = pipeline_on(server, tmp_path, tokens=1500)
    rows, _ = process(pipeline, posts)
    assert len(rows) == 60  # mentions are never lost
    paid = [r for r in rows.values() if r["model"] == "gpt-4o-mini"]
    out = [r for r in rows.values() if r["model"] == lexicon.MODEL]
    assert 0 < len(paid) < 60
    assert len(paid) + len(out) == 60
    assert {r["sampled_weight"] for r in out} == {0.0}
    assert all(r["sampled_weight"] >= 1 for r in paid)
    assert {f"reddit:{i}" for i in range(5)} <= {r["event_id"] for r in paid}
    assert pipeline.ledger.spent()[1] <= 1500  # type: ignore[union-attr]


@pytest.mark.parametrize("cause", ["cap", "quota"])
def test_without_money_the_lexicon_goes_on(server: Server, tmp_path: Path, cause: str) -> None:
    server.faults.append(quota())
    rows, _ = process(pipeline_on(server, tmp_path, usd=0 if cause == "cap" else 5), [post(0, "BTC to the moon")])
    assert rows["reddit:0"]["model"] == lexicon.MODEL
    assert rows["reddit:0"]["sampled_weight"] == 0
    assert rows["reddit:0"]["cost_usd"] == 0
    assert len(server.requests) == (0 if cause == "cap" else 1)


def test_without_a_key_the_lexicon_is_the_provider() -> None:
    rows, _ = process(Pipeline(), [post(0, "BTC to the moon"), post(1, "rug pull, everything stolen")])
    assert [rows[f"reddit:{i}"]["sentiment_label"] for i in (0, 1)] == ["positive", "negative"]
    assert {r["model"] for r in rows.values()} == {lexicon.MODEL}
    assert {r["sampled_weight"] for r in rows.values()} == {1.0}


def test_a_post_that_cannot_be_rated_is_given_up_by_name(server: Server, tmp_path: Path) -> None:
    server.judge = lambda posts: Fault(refusal=True) if any("coin 1" in p["text"] for p in posts) else None
    rows, window = process(pipeline_on(server, tmp_path), [post(i, f"coin {i}") for i in range(3)])
    assert sorted(rows) == ["reddit:0", "reddit:2"]
    assert [(p.event_id, r.reason) for p, r in window.rejected] == [("reddit:1", "refused")]


def test_vectors_go_to_the_posts_with_the_most_engagement(server: Server, tmp_path: Path) -> None:
    posts = [post(i, f"coin {i}", engagement=i) for i in range(5)]
    rows, _ = process(pipeline_on(server, tmp_path, embed_top=2), posts)
    assert {e for e, r in rows.items() if r["embedding"]} == {"reddit:3", "reddit:4"}
    assert len(rows["reddit:4"]["embedding"]) == 3


def test_nothing_personal_is_sent_or_published(server: Server, tmp_path: Path) -> None:
    text = "@joe (joe@example.com, +49 171 1234567) sent 0x52908400098527886E0F7030069857D2E4169EE7 from 10.1.2.3"
    rows, window = process(pipeline_on(server, tmp_path), [post(0, text)])
    sent = json.dumps(server.requests)
    for secret in ("joe", "example.com", "171", "52908400", "10.1.2.3"):
        assert secret not in sent
        assert secret not in json.dumps(rows)
    assert len(window.rows) == 1


@pytest.mark.parametrize(
    ("metadata", "cleaned"),
    [
        (
            '{"subreddit":"btc","by":"@joe","ids":[1234567890123],"ups":12}',
            {"subreddit": "btc", "by": "[HANDLE]", "ids": ["[ACCOUNT]"], "ups": 12},
        ),
        ("joe@example.com", None),
        ('["joe"]', None),
    ],
)
def test_metadata_is_cleaned_too(metadata: str, cleaned: dict[str, Any] | None) -> None:
    result = clean_metadata(metadata)
    assert (json.loads(result) if result else None) == cleaned


@pytest.mark.parametrize(
    "line",
    [b"not json", b"{}", b'{"event_id":"","event_time":1,"source":"x","text":"y"}', b'{"event_id":1}', b"\xff\xfe"],
)
def test_a_line_that_is_no_post_says_so_without_its_text(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*not json)"):
        read_post(line, Origin("t", 0, 0), KEY, lambda _: [])


@pytest.mark.parametrize(
    "event_id",
    ["news:https://example.org/a?token=abc123secret", "forum:joe@example.com:17", "telegram:-1001234567890:55"],
)
def test_an_id_that_holds_personal_data_leaves_as_its_keyed_hash(event_id: str) -> None:
    raw = {"event_id": event_id, "event_time": 1_700_000_000_000, "source": "news", "text": "good BTC"}
    first, again, other = (
        read_post(json.dumps(raw).encode(), Origin("social_raw", 0, 1), key, lambda _: []).event_id
        for key in (KEY, KEY, b"x" * 32)
    )
    assert first == again != other
    assert first.startswith("news:")
    assert not any(part in first for part in ("token", "joe", "1001234567890"))


def test_what_a_collector_says_beside_the_text_is_held_to_its_form() -> None:
    raw = {
        "event_id": "news:1", "event_time": 1_700_000_000_000, "source": "news", "text": "good BTC",
        "language": "joe@example.com", "symbols": ["BTC", "joe@example.com", "0x52908400098527886E0F7030069857D2"],
    }  # fmt: skip
    found = read_post(json.dumps(raw).encode(), Origin("social_raw", 0, 1), KEY, lambda _: [])
    assert (found.language, found.symbols) == ("", ("BTC",))
    assert (
        read_post(json.dumps(raw | {"language": "pt-BR"}).encode(), found.origin, KEY, lambda _: []).language == "pt-BR"
    )


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"chctl_social_{name}", labels) or 0.0


def test_metrics_tell_items_tokens_spend_latency_and_errors(server: Server, tmp_path: Path) -> None:
    def look() -> dict[str, float]:
        return {
            "asked": measured("items_total", how="asked"),
            "duplicate": measured("items_total", how="duplicate"),
            "sampled out": measured("items_total", how="sampled out"),
            "input": measured("tokens_total", direction="input"),
            "output": measured("tokens_total", direction="output"),
            "usd": measured("spend_usd_total"),
            "requests": measured("request_seconds_count"),
            "503": measured("provider_errors_total", kind="transient", code="503"),
        }

    before = look()
    server.faults.append(Fault(503))
    pipeline = pipeline_on(server, tmp_path)
    process(pipeline, [post(0, "good coin"), post(1, "good  coin"), post(2, "bad coin")])
    process(pipeline_on(server, tmp_path / "poor", usd=1e-9), [post(3, "good coin nobody pays for")])
    grown = {name: value - before[name] for name, value in look().items()}
    assert (grown["asked"], grown["duplicate"], grown["sampled out"]) == (2, 1, 1)
    assert (grown["requests"], grown["503"]) == (2, 1)  # the one that failed took its time too
    assert grown["input"] > grown["output"] > 0
    assert grown["usd"] == pytest.approx(pipeline.ledger.spent()[0])  # type: ignore[union-attr]
