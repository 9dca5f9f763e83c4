"""The Batch API: answers into the ledger at half the price, and no batch paid twice, wherever a process dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from feeders.analysis.backfill import Backfill
from feeders.analysis.ledger import Ledger, Limits
from feeders.analysis.model import Question
from feeders.analysis.openai_provider import OpenAIProvider, Options
from feeders.analysis.text import text_hash
from feeders.analysis.tokens import count
from tests.openai_server import Fault, Server, error, running


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as s:
        yield s


class Run:
    """One process: a ledger on the shared file, a provider, a backfill."""

    def __init__(self, server: Server, tmp_path: Path, usd: float = 5.0) -> None:
        self.ledger = Ledger(tmp_path / "social.sqlite3", Limits(usd, 0))
        client = openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0)
        self.provider = OpenAIProvider(client, self.ledger, Options(items=20, first_backoff=0.02))
        self.backfill = Backfill(self.provider, client, self.ledger, poll_seconds=0.05)

    def answers(self, questions: list[Question]) -> dict[int, float]:
        return {k: a.score for k, a in self.ledger.answers([q.key for q in questions], self.provider.model).items()}


def questions(n: int) -> list[Question]:
    texts = [f"{'good' if i % 2 else 'bad'} coin {i}" for i in range(n)]
    return [Question(text_hash(t), t, count(t)) for t in texts]


def test_a_batch_fills_the_ledger_at_half_the_price(server: Server, tmp_path: Path) -> None:
    asked = questions(50)
    run = Run(server, tmp_path)
    server.polls_until_done = 3

    async def go() -> tuple[int, int]:
        return await run.backfill.submit(asked), await run.backfill.finish()

    assert asyncio.run(go()) == (50, 50)
    assert run.answers(asked) == {q.key: 0.8 if "good" in q.text else -0.8 for q in asked}
    (lines,) = [c.splitlines() for c in list(server.files.values())[:1]]
    assert len(lines) == 3
    assert json.loads(lines[0])["url"] == "/v1/responses"
    usage = [json.loads(line)["response"]["body"]["usage"] for line in list(server.files.values())[1].splitlines()]
    full = sum(run.provider.options.prices.of(u["input_tokens"], u["output_tokens"]) for u in usage)
    assert run.ledger.spent()[0] == pytest.approx(full / 2)
    assert run.ledger.batches() == []
    assert server.requests == []


def test_a_process_that_dies_while_it_waits_pays_for_no_second_batch(server: Server, tmp_path: Path) -> None:
    asked = questions(30)
    asyncio.run(Run(server, tmp_path).backfill.submit(asked))
    again = Run(server, tmp_path)
    assert asyncio.run(again.backfill.finish()) == 30
    assert len(again.answers(asked)) == 30
    assert len(server.batches) == 1


@pytest.mark.parametrize("created", [True, False], ids=["after the batch came into being", "before"])
def test_a_process_that_dies_while_it_asks_for_a_batch(server: Server, tmp_path: Path, created: bool) -> None:
    asked = questions(10)
    first = Run(server, tmp_path)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    if created:
        first.ledger.batch_renamed = die  # type: ignore[method-assign]
    else:
        first.backfill._create = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(first.backfill.submit(asked))
    assert len(server.batches) == int(created)
    again = Run(server, tmp_path)
    assert asyncio.run(again.backfill.finish()) == 10
    assert len(server.batches) == 1


def test_what_a_batch_leaves_open_stays_open(server: Server, tmp_path: Path) -> None:
    def lines(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        entries[0]["response"] = {"status_code": 500, "body": {"error": {"message": "x"}}}
        entries[1]["custom_id"] = "unknown"
        return [*entries[::-1], {"nonsense": True}]

    server.batch_lines = lines
    asked = questions(60)
    run = Run(server, tmp_path)

    async def go() -> int:
        await run.backfill.submit(asked)
        return await run.backfill.finish()

    assert asyncio.run(go()) == 20
    assert set(run.answers(asked)) == {q.key for q in asked[40:]}


def test_the_cap_bounds_a_backfill(server: Server, tmp_path: Path) -> None:
    run = Run(server, tmp_path, usd=0.0006)
    asked = questions(100)
    reached = asyncio.run(run.backfill.submit(asked))
    assert 0 < reached < 100
    assert run.ledger.spent()[0] <= 0.0006


def test_a_batch_that_is_refused_is_not_paid_and_says_why(server: Server, tmp_path: Path) -> None:
    server.faults.append(error(400, "no", "model_not_found", "invalid_request_error"))
    run = Run(server, tmp_path)
    with pytest.raises(RuntimeError, match="model_not_found"):
        asyncio.run(run.backfill.submit(questions(5)))
    assert run.ledger.batches() == []
    assert run.ledger.spent()[0] == 0


def test_what_passes_while_a_batch_is_looked_at_ends_nothing(server: Server, tmp_path: Path) -> None:
    asked = questions(30)
    asyncio.run(Run(server, tmp_path).backfill.submit(asked))
    server.reading_faults += [Fault(503), Fault(cut=True), Fault(429, headers={"retry-after-ms": "20"}), Fault(502)]
    server.polls_until_done = 2
    again = Run(server, tmp_path)
    assert asyncio.run(again.backfill.finish()) == 30
    assert not server.reading_faults
    assert len(server.batches) == 1


def test_answers_that_cannot_be_fetched_yet_are_fetched_later(server: Server, tmp_path: Path) -> None:
    asked = questions(10)
    run = Run(server, tmp_path)

    async def go() -> int:
        await run.backfill.submit(asked)
        name = next(iter(server.batches))
        await run.provider.client.batches.retrieve(name)  # the batch is done: what is looked at next are its answers
        retrieve = run.provider.client.batches.retrieve

        async def then_faults(batch: str) -> Any:
            found = await retrieve(batch)
            server.reading_faults += [Fault(500), Fault(cut=True)]
            return found

        run.backfill._client.batches.retrieve = then_faults  # type: ignore[method-assign]
        return await run.backfill.finish()

    assert asyncio.run(go()) == 10
    assert not server.reading_faults


def test_the_end_does_not_wait_for_the_next_look(server: Server, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.backfill._poll_seconds = 3600
    server.polls_until_done = 100
    began = time.monotonic()

    async def go() -> int:
        await run.backfill.submit(questions(5))
        return await run.backfill.finish(lambda: time.monotonic() - began > 0.3)

    assert asyncio.run(go()) == 0
    assert time.monotonic() - began < 5
    assert len(run.ledger.batches()) == 1  # on record for the next run
