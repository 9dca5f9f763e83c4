"""Many texts rated through the Batch API: at half the price, within a day, for what need not be known at once.

The answers go to the ledger, where the live path finds them: a backfill fills the ledger and reads the topic again.
A batch is on record before it is asked for, under its input file, so that a process that dies at any point waits for
the batch it has paid for instead of paying for another.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import openai
import structlog
from prometheus_client import Counter

from feeders.analysis import framing
from feeders.analysis.faults import Kind, MisconfiguredError, classify
from feeders.analysis.ledger import DAILY_CAP, Ledger, Refusal, Reservation
from feeders.analysis.model import Answer, Question
from feeders.analysis.openai_provider import OpenAIProvider, read_body
from feeders.analysis.tokens import pack

log = structlog.get_logger()

T = TypeVar("T")

BATCHES = Counter("chctl_social_batches_total", "Batches by how they ended.", ["status"])

#: The Batch API's price, as a share of the usual one.
PRICE = 0.5
#: Requests of one batch at most (the service takes 50,000).
REQUESTS = 20_000
_PENDING = "pending:"
_ENDED = ("completed", "failed", "expired", "cancelled")


class Backfill:
    """Rates texts in batches, with the model, the framing and the budget of a provider."""

    def __init__(
        self,
        provider: OpenAIProvider,
        client: openai.AsyncOpenAI,
        ledger: Ledger,
        *,
        poll_seconds: float = 30.0,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._provider = provider
        self._client = client
        self._ledger = ledger
        self._poll_seconds = poll_seconds
        self._progress = progress

    async def submit(self, questions: Sequence[Question]) -> int:
        """Ask for batches of as many questions as the budget of today reaches; how many that are."""
        options = self._provider.options
        plain = [q for q in questions if not framing.reads_like_orders(q.text)]
        orders = [[q] for q in questions if framing.reads_like_orders(q.text)]
        requests = list(pack(plain, items=options.items, tokens=options.tokens)) + orders
        asked = 0
        for first in range(0, len(requests), REQUESTS):
            affordable, usd = [], 0.0
            await self._ledger.look_at_group()
            for request in requests[first : first + REQUESTS]:
                bound = self._provider.cost_bound(request)[0] * PRICE
                if usd + bound > self._ledger.affordable()[0]:
                    break
                affordable.append(request)
                usd += bound
            reservation = await self._ledger.reserve_for_group(usd, 0) if affordable else Refusal(DAILY_CAP, None)
            if isinstance(reservation, Refusal):
                log.warning("backfill ends here", reason=reservation.reason, asked=asked, of=len(questions))
                break
            await self._start(affordable, reservation)
            asked += sum(map(len, affordable))
        return asked

    async def _start(self, requests: list[list[Question]], reservation: Reservation) -> None:
        lines, items = [], {}
        for i, batch in enumerate(requests):
            framed = framing.frame(batch, controls=len(batch) > 1)
            body = self._provider.body(framed.message, len(batch))
            lines.append({"custom_id": str(i), "method": "POST", "url": "/v1/responses", "body": body})
            tokens = {str(q.key): q.tokens for q in batch}
            items[str(i)] = {"keys": framed.keys, "controls": framed.controls, "tokens": tokens}
        content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode("utf-8", "replace")
        try:
            file = await self._client.files.create(file=("posts.jsonl", content), purpose="batch")
        except openai.OpenAIError as error:
            self._ledger.settle(reservation, 0.0, 0)
            raise _failure(error) from None
        pending = _PENDING + file.id
        self._ledger.batch_started(pending, json.dumps(items), reservation)
        await self._create(pending)

    async def _create(self, pending: str) -> None:
        file = pending.removeprefix(_PENDING)
        try:
            batch = await self._client.batches.create(
                input_file_id=file, endpoint="/v1/responses", completion_window="24h", metadata={"by": "chctl"}
            )
        except openai.OpenAIError as error:
            if isinstance(error, openai.APIStatusError) and error.status_code < 500:
                reservation = next(r for name, _, r in self._ledger.batches() if name == pending)
                self._ledger.settle(reservation, 0.0, 0, batch=pending)
            raise _failure(error) from None  # else it stays on record: the next run sees whether it came into being
        self._ledger.batch_renamed(pending, batch.id)
        log.info("batch started", batch=batch.id)

    async def finish(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Wait for every batch on record and keep its answers; how many answers that were."""
        await self._adopt(stopped)
        answers = 0
        while (under_way := self._ledger.batches()) and not stopped():
            for name, items, reservation in under_way:
                batch = await self._patiently(partial(self._client.batches.retrieve, name), stopped)
                if batch is None:
                    break
                if batch.status in _ENDED:
                    answered = await self._answers(batch.output_file_id, items, stopped)
                    if answered is None:
                        break
                    found, usd = answered
                    self._ledger.settle(reservation, usd, 0, found, batch=name)
                    BATCHES.labels(batch.status).inc()
                    log.info("batch ended", batch=name, status=batch.status, answers=len(found), usd=round(usd, 6))
                    answers += len(found)
            self._progress()
            if self._ledger.batches():
                await self._sleep(self._poll_seconds, stopped)
        return answers

    async def _patiently(self, call: Callable[[], Awaitable[T]], stopped: Callable[[], bool]) -> T | None:
        """What a call brings, asked again while its failure is one that passes; None where the end was asked for."""
        attempt = 0
        while not stopped():
            try:
                return await call()
            except openai.OpenAIError as error:
                fault = classify(error)
                if fault.kind not in (Kind.THROTTLED, Kind.TRANSIENT):
                    raise _failure(error) from None
            options = self._provider.options
            backoff = min(options.longest_backoff, options.first_backoff * 2**attempt) * random.uniform(0.5, 1.0)
            wait = backoff if fault.wait is None else fault.wait
            log.warning("batch", kind=fault.kind, code=fault.code, attempt=attempt + 1, wait=round(wait, 3))
            await self._sleep(wait, stopped)
            attempt += 1
        return None

    async def _sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait, but not beyond the end of the process; waiting on purpose is progress to a watchdog."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stopped():
            self._progress()
            await asyncio.sleep(min(left, 0.5))

    async def _adopt(self, stopped: Callable[[], bool]) -> None:
        """Find out which batches came into being just before a crash, and ask for those that did not."""
        pending = [name for name, _, _ in self._ledger.batches() if name.startswith(_PENDING)]
        if not pending:
            return

        async def listed() -> dict[str, str]:
            return {batch.input_file_id: batch.id async for batch in self._client.batches.list(limit=100)}

        known = await self._patiently(listed, stopped)
        if known is None:
            return
        for name in pending:
            batch_id = known.get(name.removeprefix(_PENDING))
            if batch_id:
                self._ledger.batch_renamed(name, batch_id)
            else:
                await self._create(name)

    async def _answers(
        self, file: str | None, items: str, stopped: Callable[[], bool]
    ) -> tuple[dict[int, Answer], float] | None:
        """Answers by key and what they cost; what a batch leaves open is asked live, when its post comes by.

        None where the end was asked for: the batch stays on record, and the next run reads it.
        """
        answers: dict[int, Answer] = {}
        usd = 0.0
        if file is None:
            return answers, usd
        asked = json.loads(items)
        output = await self._patiently(partial(self._client.files.content, file), stopped)
        if output is None:
            return None
        for line in output.content.split(b"\n"):
            try:
                entry = json.loads(line)
                request = asked[entry["custom_id"]]
                if entry["response"]["status_code"] != 200:
                    continue
                body = json.dumps(entry["response"]["body"]).encode()
            except (ValueError, KeyError, TypeError):
                continue
            tokens = {int(k): n for k, n in request["tokens"].items()}
            framed = framing.Request("", request["keys"], request["controls"])
            found, cost = read_body(body, framed, tokens, self._provider.options, price=PRICE)
            answers |= found
            usd += cost
        return answers, usd


def _failure(error: openai.OpenAIError) -> Exception:
    fault = classify(error)
    if fault.kind in (Kind.MISCONFIGURED, Kind.QUOTA, Kind.UNKNOWN):
        return MisconfiguredError(f"the provider refuses the batch ({fault.code}): check the key, its quota, the model")
    return error
