"""Sentiment and embeddings from OpenAI, or from any server that speaks its Responses API.

Many items a request; what a request leaves open is asked again alone, one item a request, and then given up with a
reason. Money is reserved before and settled after each request (feeders/analysis/ledger.py). Nothing here logs a text.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

import msgspec
import openai
import structlog
from prometheus_client import Counter, Gauge, Histogram

from feeders.analysis import framing
from feeders.analysis.faults import Fault, Kind, MisconfiguredError, classify
from feeders.analysis.ledger import TOO_LARGE, Ledger, Refusal, Reservation
from feeders.analysis.lexicon import label_of
from feeders.analysis.model import Answer, Question, Rated, Rejected
from feeders.analysis.tokens import ANSWER_TOKENS, ITEM_OVERHEAD, count, pack

log = structlog.get_logger()

REQUESTS = Counter("chctl_social_requests_total", "Requests to the provider.", ["kind"])
ERRORS = Counter("chctl_social_provider_errors_total", "Errors of the provider by what they mean.", ["kind", "code"])
TOKENS = Counter("chctl_social_tokens_total", "Tokens billed by the provider.", ["direction"])
SPEND = Counter("chctl_social_spend_usd_total", "USD billed by the provider to this process.")
SPENT_TODAY = Gauge("chctl_social_spent_today_usd", "USD of the group today (UTC), reservations included.")
FAULTS = Counter("chctl_social_answer_faults_total", "Items that an answer left open.", ["reason"])
LATENCY = Histogram(
    "chctl_social_request_seconds", "One request to the provider.", buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 80)
)

T = TypeVar("T")

#: |score| below this is neutral: a model says 0.05 for "nothing", where VADER computes it from words.
NEUTRAL = 0.15
#: How long a group stops asking when the account is empty and the server names no time.
QUOTA_PAUSE = 600.0


class _Part(msgspec.Struct):
    """A part of a message: `output_text` or `refusal`."""

    type: str
    text: str = ""


class _Item(msgspec.Struct):
    """An item of an output; only messages have content."""

    type: str
    content: list[_Part] | None = None


class _Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int

    def cost(self, prices: Prices) -> float:
        return prices.of(self.input_tokens, self.output_tokens)


class _Response(msgspec.Struct):
    """What is read of a response object (the Responses API's `response`)."""

    status: str
    output: list[_Item]
    usage: _Usage | None = None
    error: dict[str, Any] | None = None

    def parts(self) -> list[_Part]:
        return [part for item in self.output if item.type == "message" for part in item.content or ()]


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    """What is read of an embeddings list."""

    data: list[_Vector]


class _FailedError(RuntimeError):
    """A response object whose status is `failed`."""


class ProviderStoppedError(RuntimeError):
    """The feeder was asked to end while a request could not be made."""


@dataclass(frozen=True, slots=True)
class Prices:
    """USD for a million tokens."""

    input: float
    output: float
    embedding: float = 0.02

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """USD of one request; cached input counts in full, so that the cap errs to the safe side."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Options:
    """How to ask: the model and the size of a request."""

    model: str = "gpt-4o-mini"
    embedding_model: str = "text-embedding-3-small"
    embedding_dimensions: int = 512
    items: int = 50  # a request
    tokens: int = 6000  # a request, of input
    concurrency: int = 4
    prices: Prices = field(default_factory=lambda: Prices(0.15, 0.60))
    longest_backoff: float = 60.0
    first_backoff: float = 0.5


class OpenAIProvider:
    """Asks one server; shares its budget and its answers with every process that has the same ledger."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        ledger: Ledger,
        options: Options,
        *,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        if client.max_retries:
            raise ValueError("give the client max_retries=0: repeating is decided here, where the budget is known")
        self.client = client
        self._ledger = ledger
        self.options = options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._progress = progress
        self._overhead = count(framing.INSTRUCTIONS) + 160  # the schema and the controls
        self.stopping = asyncio.Event()

    @property
    def model(self) -> str:
        """What stands in `model` of the rows."""
        return self.options.model

    def cost_bound(self, questions: Sequence[Question]) -> tuple[float, int]:
        """The most that one request with these questions can cost: USD, tokens."""
        tokens_in = self._overhead + sum(q.tokens + ITEM_OVERHEAD for q in questions)
        tokens_out = self._output_limit(len(questions))
        return self.options.prices.of(tokens_in, tokens_out), tokens_in + tokens_out

    def item_bound(self, text_tokens: int) -> tuple[float, int]:
        """The most that one more item adds to a request: USD, tokens."""
        tokens_in = text_tokens + ITEM_OVERHEAD
        return self.options.prices.of(tokens_in, ANSWER_TOKENS), tokens_in + ANSWER_TOKENS

    @staticmethod
    def _output_limit(items: int) -> int:
        return 64 + (items + len(framing.CONTROLS)) * ANSWER_TOKENS

    # --- sentiment

    async def rate(self, questions: Sequence[Question]) -> Rated:
        """Rate each question once. Raises MisconfiguredError, and ProviderStoppedError while `stopping` is set.

        Every answer is in the ledger when it is returned, and also when this is cancelled half-way.
        """
        rated = Rated()
        plain = [q for q in questions if not framing.reads_like_orders(q.text)]
        orders = [q for q in questions if framing.reads_like_orders(q.text)]
        batches = list(pack(plain, items=self.options.items, tokens=self.options.tokens)) + [[q] for q in orders]
        await _all(*(self._rate_batch(batch, rated) for batch in batches))
        return rated

    async def _rate_batch(self, batch: list[Question], rated: Rated) -> None:
        """One request, and what follows from it."""
        outcome = await self._request(batch)
        too_large = outcome.reason == TOO_LARGE if isinstance(outcome, Refusal) else False
        if isinstance(outcome, Fault):
            too_large = outcome.kind == Kind.TOO_LARGE
        if too_large and len(batch) > 1:
            middle = len(batch) // 2
            await _all(self._rate_batch(batch[:middle], rated), self._rate_batch(batch[middle:], rated))
        elif isinstance(outcome, Refusal):
            rated.unpaid |= {q.key for q in batch}
        elif isinstance(outcome, Fault):
            await self._alone(batch, dict.fromkeys((q.key for q in batch), outcome.code), rated)
        else:
            answers, faults = outcome
            rated.answers |= answers
            await self._alone([q for q in batch if q.key in faults], faults, rated, asked=len(batch))

    async def _alone(
        self, questions: list[Question], faults: dict[int, str], rated: Rated, *, asked: int | None = None
    ) -> None:
        """Ask each by itself; what was by itself already is given up."""
        for reason in faults.values():
            FAULTS.labels(reason).inc()
        if (len(questions) if asked is None else asked) > 1:
            await _all(*(self._rate_batch([q], rated) for q in questions))
        else:
            self._ledger.give_up({q.key: faults[q.key] for q in questions}, self.model)
            rated.rejected |= {q.key: Rejected(faults[q.key]) for q in questions}

    async def _request(self, batch: list[Question]) -> tuple[dict[int, Answer], dict[int, str]] | Fault | Refusal:
        """One paid request, repeated through what passes; answers and faults by key, or why there are none."""
        request = framing.frame(batch, controls=len(batch) > 1)
        usd, tokens = self.cost_bound(batch)
        result = await self._paid(usd, tokens, "rate", lambda: self._create(request.message, len(batch)))
        if isinstance(result, (Fault, Refusal)):
            if isinstance(result, Fault) and result.kind == Kind.UNKNOWN and len(batch) == 1:
                await self._probe(result)
                return Fault(Kind.REJECTED, result.code)
            return result
        reservation, response = result
        answers, faults, cost, used = self._read(response, request, batch)
        self._ledger.settle(reservation, cost, used, answers)
        self._account(response.usage or _Usage(used, 0), cost)
        return answers, faults

    def body(self, message: str, items: int) -> dict[str, Any]:
        """The body of a request to the Responses API."""
        return {
            "model": self.options.model,
            "instructions": framing.INSTRUCTIONS,
            "input": message,
            "text": framing.TEXT_FORMAT,
            "temperature": 0,
            "max_output_tokens": self._output_limit(items),
            "store": False,  # the provider need not keep posts
        }

    async def _create(self, message: str, items: int) -> _Response:
        raw = await self.client.responses.with_raw_response.create(**self.body(message, items))
        response = _decode(raw.http_response.content, _Response)
        if response.status == "failed":
            raise _FailedError(str((response.error or {}).get("code")))
        return response

    def _read(
        self, response: _Response, request: framing.Request, batch: list[Question]
    ) -> tuple[dict[int, Answer], dict[int, str], float, int]:
        usd, tokens = self.cost_bound(batch)  # a server that tells no usage is taken at the bound
        if response.usage:
            usd = response.usage.cost(self.options.prices)
            tokens = response.usage.input_tokens + response.usage.output_tokens
        answers, faults = _answers(response, request, {q.key: q.tokens for q in batch}, self.model, usd)
        return answers, faults, usd, tokens

    async def _probe(self, fault: Fault) -> None:
        """An item alone met an error without a culprit: if a harmless request meets it too, the setup is at fault."""
        request = framing.frame([], controls=True)
        usd, tokens = self.cost_bound([])
        result = await self._paid(usd, tokens, "probe", lambda: self._create(request.message, 0))
        if isinstance(result, Fault):
            raise MisconfiguredError(
                f"the provider refuses every request ({fault.code}): check CHCTL_SOCIAL_MODEL and CHCTL_OPENAI_BASE_URL"
            )
        if not isinstance(result, Refusal):
            self._ledger.settle(result[0], usd, tokens)

    # --- embeddings

    async def embed(self, texts: dict[int, str]) -> dict[int, list[float]]:
        """Vectors by key; those that the budget does not reach are left out. Paid ones come from the ledger."""
        vectors = self._ledger.vectors(texts, self.options.embedding_model)
        open_keys = [k for k in texts if k not in vectors]
        batches = [open_keys[i : i + 256] for i in range(0, len(open_keys), 256)]
        for found in await _all(*(self._embed_batch({k: texts[k] for k in batch}) for batch in batches)):
            vectors |= found
        return vectors

    async def _embed_batch(self, texts: dict[int, str]) -> dict[int, list[float]]:
        keys = list(texts)
        tokens = sum(count(t) for t in texts.values())
        usd = tokens * self.options.prices.embedding / 1e6

        async def create() -> list[list[float]]:
            raw = await self.client.embeddings.with_raw_response.create(
                model=self.options.embedding_model,
                input=[texts[k] or " " for k in keys],
                dimensions=self.options.embedding_dimensions,
                encoding_format="float",
            )
            data = _decode(raw.http_response.content, _Vectors).data
            by_index = {e.index: e.embedding for e in data}
            if sorted(by_index) != list(range(len(keys))) or len(data) != len(keys):
                raise ValueError("embeddings do not match the request")
            if any(len(v) != self.options.embedding_dimensions for v in by_index.values()):
                raise ValueError("embeddings of another size than asked for")
            return [by_index[i] for i in range(len(keys))]

        result = await self._paid(usd, tokens, "embed", create)
        if isinstance(result, Fault) and result.kind == Kind.TOO_LARGE and len(keys) > 1:
            middle = len(keys) // 2
            halves = await _all(
                *(self._embed_batch({k: texts[k] for k in part}) for part in (keys[:middle], keys[middle:]))
            )
            return halves[0] | halves[1]
        if isinstance(result, (Fault, Refusal)):
            return {}  # a post without a vector is still a post
        reservation, vectors = result
        found = dict(zip(keys, vectors, strict=True))
        model = self.options.embedding_model
        self._ledger.settle(reservation, usd, tokens, vectors={k: (model, v) for k, v in found.items()})
        TOKENS.labels("embedding").inc(tokens)
        SPEND.inc(usd)
        return found

    # --- what every request goes through

    async def _paid(
        self, usd: float, tokens: int, kind: str, send: Callable[[], Any]
    ) -> tuple[Reservation, Any] | Fault | Refusal:
        """Reserve, send, repeat through what passes. A result leaves its reservation to be settled by the caller."""
        attempt = 0
        repeats_of_nonsense = 0
        while True:
            reservation = await self._reserve(usd, tokens)
            if isinstance(reservation, Refusal):
                return reservation
            try:
                async with self._slots:
                    REQUESTS.labels(kind).inc()
                    started = perf_counter()
                    try:
                        return reservation, await send()
                    finally:
                        LATENCY.observe(perf_counter() - started)
                        self._progress()
            except _FailedError as error:
                fault = Fault(Kind.TRANSIENT, f"failed: {error}", billed=True)
            except (openai.OpenAIError, ValueError) as error:
                fault = classify(error)
            # A cancelled request leaves its reservation in place: it may have been served.
            ERRORS.labels(fault.kind, fault.code).inc()
            if not fault.billed:
                self._ledger.settle(reservation, 0.0, 0)
            if fault.code == "malformed answer":
                repeats_of_nonsense += 1
                if repeats_of_nonsense > 2:
                    return Fault(Kind.REJECTED, fault.code)
            if (outcome := await self._after(fault, attempt)) is not None:
                return outcome
            attempt += 1

    async def _after(self, fault: Fault, attempt: int) -> Fault | Refusal | None:
        """Wait for what passes (None: try again), or say why it does not."""
        if fault.kind == Kind.MISCONFIGURED:
            raise MisconfiguredError(
                f"the provider refuses this setup ({fault.code}): check CHCTL_OPENAI_API_KEY, CHCTL_SOCIAL_MODEL and"
                " CHCTL_OPENAI_BASE_URL"
            )
        if fault.kind == Kind.QUOTA:
            self._ledger.pause("quota", fault.wait or QUOTA_PAUSE)
            log.error("the provider's account is empty: posts are scored by the lexicon until it is filled up")
            return Refusal("quota", None)
        if fault.kind in (Kind.THROTTLED, Kind.TRANSIENT):
            # Full jitter: processes that were cut off together do not come back together.
            backoff = min(self.options.longest_backoff, self.options.first_backoff * 2**attempt)
            backoff *= random.uniform(0.5, 1.0)
            wait = max(fault.wait, 0.001) if fault.wait is not None else backoff
            log.warning("provider", kind=fault.kind, code=fault.code, attempt=attempt + 1, wait=round(wait, 3))
            if fault.kind == Kind.THROTTLED:
                self._ledger.pause("throttled", wait)
            await self._sleep(wait)
            return None
        return fault

    async def _reserve(self, usd: float, tokens: int) -> Reservation | Refusal:
        while True:
            outcome = await self._ledger.reserve_for_group(usd, tokens)
            SPENT_TODAY.set(self._ledger.spent_usd())
            if isinstance(outcome, Reservation):
                return outcome
            if outcome.wait is None or outcome.reason == "quota":
                return outcome
            await self._sleep(outcome.wait)

    async def _sleep(self, seconds: float) -> None:
        """Wait; standing still on purpose is progress to a watchdog, and the end of the process ends the wait."""
        while seconds > 0:
            if self.stopping.is_set():
                raise ProviderStoppedError
            self._progress()
            try:
                await asyncio.wait_for(self.stopping.wait(), min(seconds, 1.0))
            except TimeoutError:
                seconds -= 1.0

    def _account(self, usage: _Usage, usd: float) -> None:
        TOKENS.labels("input").inc(usage.input_tokens)
        TOKENS.labels("output").inc(usage.output_tokens)
        SPEND.inc(usd)
        SPENT_TODAY.set(self._ledger.spent_usd())


def _answers(
    response: _Response, request: framing.Request, tokens: Mapping[int, int], model: str, usd: float
) -> tuple[dict[int, Answer], dict[int, str]]:
    """Answers, and the reasons of what was left open, by key; `tokens` by key, of every item that was asked."""
    if any(part.type == "refusal" for part in response.parts()):
        return {}, dict.fromkeys(tokens, "refused")
    output = "".join(part.text for part in response.parts() if part.type == "output_text")
    reading = framing.read(output, request, truncated=response.status == "incomplete")
    if reading.strangers:
        FAULTS.labels("extra").inc(reading.strangers)
    answers = {
        key: Answer(score, label_of(score, NEUTRAL), confidence, model, tokens[key], usd / len(tokens))
        for key, (score, confidence) in reading.scores.items()
    }
    return answers, reading.faults


def read_body(
    body: bytes, request: framing.Request, tokens: Mapping[int, int], options: Options, *, price: float = 1.0
) -> tuple[dict[int, Answer], float]:
    """Answers in the body of a response that a batch brought, and what they cost at that share of the price."""
    try:
        response = _decode(body, _Response)
    except ValueError:
        return {}, 0.0
    usd = response.usage.cost(options.prices) * price if response.usage else 0.0
    answers, _ = _answers(response, request, tokens, options.model, usd)
    return answers, usd


async def _all(*coroutines: Any) -> list[Any]:
    """gather, but the first failure cancels the rest, waits for them and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(c) for c in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [t.result() for t in tasks]


def _decode(body: bytes, shape: type[T]) -> T:
    """A body as the documented shape. Raises ValueError where it is another one, or no JSON."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a {shape.__name__}") from error
