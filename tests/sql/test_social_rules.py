"""The social rules against a symbol's own baseline: what should page pages once and ends, the rest does not."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.sql.pipeline import Pipeline

RULES = "SELECT rule, status, symbol FROM alerts FINAL ORDER BY rule, status"


def post(name: str, age_s: float, score: float, **changes: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {
        "event_id": f"reddit:{name}", "event_time": now - int(age_s * 1000), "processed_time": now, "source": "reddit",
        "symbols": ["BTC"], "text": "x", "text_hash": hash(name) & 0xFFFFFFFF, "author_hash": f"author {name}",
        "sentiment_score": score, "sentiment_label": "neutral", "confidence": 0.9, "tokens_count": 3, "engagement": 1,
        "model": "gpt", "cost_usd": 0.0, "sampled_weight": 1.0,
    } | changes  # fmt: skip


def give(pipeline: Pipeline, *blocks: list[dict[str, Any]]) -> None:
    pipeline.give([[{"topic": "social_processed", "row": row} for row in rows] for rows in blocks])


@pytest.fixture
def usual(pipeline: Pipeline) -> Pipeline:
    """Two hours of BTC: five posts a minute, of mixed mood."""
    rng = random.Random(1)
    give(pipeline, [post(f"base{i}", 1800 + rng.uniform(0, 7200), rng.choice([-0.4, 0, 0.2, 0.6])) for i in range(600)])
    return pipeline


def alerts(pipeline: Pipeline) -> list[tuple[str, str, str]]:
    return [tuple(r.values()) for r in pipeline.engine.rows(RULES)]  # type: ignore[misc]


def test_the_usual_talk_raises_nothing(usual: Pipeline) -> None:
    rng = random.Random(2)
    give(
        usual,
        *([post(f"calm{m}-{k}", 60 * m, rng.choice([-0.4, 0, 0.2, 0.6])) for k in range(5)] for m in range(10, 0, -1)),
    )
    assert alerts(usual) == []


def test_a_turn_of_mood_fires_once_and_resolves(usual: Pipeline) -> None:
    turn = [[post(f"turn{m}-{k}", 60 * m, -0.9) for k in range(6)] for m in range(9, 2, -1)]
    give(usual, *turn)
    give(usual, turn[-1])  # delivered again
    assert alerts(usual) == [("sentiment_shock", "firing", "BTC")]
    (row,) = usual.engine.rows("SELECT value, baseline, threshold, summary FROM alerts FINAL")
    assert row["value"] < row["threshold"] < row["baseline"]
    assert row["summary"].startswith("BTC: sentiment fell to -0.")
    usual.engine.query(
        "INSERT INTO alert_rules (rule, scope, parameter, value) VALUES ('sentiment_shock', '*', 'resolve_s', 60)"
    )
    usual.engine.query("SYSTEM RELOAD DICTIONARIES")
    usual.refresh("alerts_resolved_mv")
    assert alerts(usual) == [("sentiment_shock", "firing", "BTC")]
    give(usual, [post("later", 1, 0.2, symbols=["ETH"])], [post("latest", 1, 0.2, symbols=["ETH"])])  # moves the clock
    usual.refresh("alerts_resolved_mv")
    assert alerts(usual) == [("sentiment_shock", "firing", "BTC"), ("sentiment_shock", "resolved", "BTC")]


def test_the_end_of_the_budget_is_no_turn_of_mood(usual: Pipeline) -> None:
    out = {"model": "lexicon-vader-crypto-1", "sampled_weight": 0.0}
    give(usual, *([post(f"out{m}-{k}", 60 * m, -0.9, **out) for k in range(6)] for m in range(9, 2, -1)))
    assert alerts(usual) == []


def test_a_burst_of_many_fires_and_a_flood_of_one_does_not(usual: Pipeline) -> None:
    flood = [post(f"flood{k}", 120, 0.1, author_hash="one bot") for k in range(150)]
    give(usual, flood)
    assert alerts(usual) == []
    give(usual, [post(f"crowd{k}", 60, 0.1) for k in range(120)])
    assert alerts(usual) == [("buzz_burst", "firing", "BTC")]


def test_old_posts_raise_nothing(usual: Pipeline) -> None:
    give(usual, *([post(f"old{m}-{k}", 3600 + 60 * m, -0.9) for k in range(40)] for m in range(5, 0, -1)))
    assert alerts(usual) == []


def test_a_threshold_for_one_symbol_goes_before_the_default(usual: Pipeline) -> None:
    usual.engine.query(
        "INSERT INTO alert_rules (rule, scope, parameter, value) VALUES ('buzz_burst', 'social:BTC', 'min_posts', 1000)"
    )
    usual.engine.query("SYSTEM RELOAD DICTIONARIES")
    give(usual, [post(f"crowd{k}", 60, 0.1) for k in range(120)])
    assert alerts(usual) == []
