"""How fast the social feeder is beside a provider that answers at once, and what batching and sharing answers save.

    python bench/social.py [--posts 4000]

Everything is real but the provider, a server on loopback in a process of its own: redaction, tokens, framing, HTTP, the
ledger on disk, the rows. "Our share" is this process's CPU time over the wall time. The second line gives one request a
post, without shared answers, measured on a part of the posts and scaled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from multiprocessing import Process, Queue
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import openai

from feeders.analysis.ledger import Ledger, Limits
from feeders.analysis.model import Origin, Post
from feeders.analysis.openai_provider import OpenAIProvider, Options
from feeders.analysis.pipeline import Pipeline
from feeders.analysis.posts import read_post

WORDS = "bitcoin breaks support again whales buy the dip while funding stays flat and miners keep selling"


def posts(n: int, duplicates: float) -> list[bytes]:
    """Rows of social_raw; a share of `duplicates` repeats another post as retweets do."""
    rng = random.Random(7)
    texts: list[str] = []
    rows = []
    for i in range(n):
        if texts and rng.random() < duplicates:
            text = f"RT @user{i}: {rng.choice(texts)} https://t.co/{i}"
        else:
            text = f"{' '.join(rng.choices(WORDS.split(), k=rng.randint(8, 25)))} ${rng.randint(1, 99999)}"
            texts.append(text)
        row = {"event_id": f"twitter:{i}", "event_time": 1_700_000_000_000 + i, "source": "twitter", "author": f"u{i}",
               "text": text, "engagement": rng.randint(0, 50)}  # fmt: skip
        rows.append(json.dumps(row).encode())
    return rows


def serve(port: Queue[int]) -> None:
    """The provider, in a process of its own."""
    from tests.openai_server import Server, running

    server = Server()
    server.requests = _Nothing()  # type: ignore[assignment]  # keep no bodies
    with running(server) as s:
        port.put(s.port)
        time.sleep(600)


class _Nothing(list):  # type: ignore[type-arg]
    def append(self, _item: object) -> None:
        return


async def feed(
    lines: list[bytes], port: int, folder: Path, items: int, window: int = 500
) -> tuple[float, float, float, int, int]:
    """(wall seconds, CPU seconds, USD, tokens, requests) of rating all lines."""
    ledger = Ledger(folder / "social.sqlite3", Limits(1e6, 0))
    client = openai.AsyncOpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
    pipeline = Pipeline(ledger, OpenAIProvider(client, ledger, Options(items=items, concurrency=4)))
    await pipeline.process([post(lines[0], 0)])  # vocabulary and lexicon are loaded
    before = ledger.spent()
    started, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(lines), window):
        done = await pipeline.process([post(line, i) for i, line in enumerate(lines[first : first + window])])
        assert len(done.rows) == len(lines[first : first + window])
    usd, tokens, requests = (after - b for after, b in zip(ledger.spent(), before, strict=True))
    return time.perf_counter() - started, time.process_time() - cpu, usd, int(tokens), int(requests)


def post(line: bytes, i: int) -> Post:
    return read_post(line, Origin("social_raw", 0, i), b"k" * 32, lambda _: [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=4000)
    parser.add_argument("--duplicates", type=float, default=0.4, help="Share of near-duplicates.")
    args = parser.parse_args()
    queue: Queue[int] = Queue()
    server = Process(target=serve, args=(queue,), daemon=True)
    server.start()
    port = queue.get(timeout=30)
    try:
        lines = posts(args.posts, args.duplicates)
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu, usd, tokens, requests = asyncio.run(feed(lines, port, Path(folder), items=50))
        # One request a post, each post for itself: every text is made another one, so that none is shared.
        some = [line.replace(b'"text": "', b'"text": "%d ' % i) for i, line in enumerate(lines[:300])]
        with tempfile.TemporaryDirectory() as folder:
            one_wall, _, one_usd, one_tokens, one_requests = asyncio.run(feed(some, port, Path(folder), items=1))
    finally:
        server.terminate()
    scale = len(lines) / len(some)
    one = (one_requests * scale, one_tokens * scale, one_usd * scale)
    print(f"{len(lines)} posts, {args.duplicates:.0%} near-duplicates, {os.cpu_count()} cores")
    print(f"{'':<20}{'posts/s':>9}{'requests':>10}{'tokens':>10}{'USD':>9}")
    for name, rate, figures in (
        ("batched, shared", len(lines) / wall, (requests, tokens, usd)),
        ("one request a post", len(some) / one_wall, one),
    ):
        print(f"{name:<20}{rate:>9.0f}{figures[0]:>10.0f}{figures[1]:>10.0f}{figures[2]:>9.4f}")
    saved = [1 - ours / theirs for ours, theirs in zip((requests, tokens, usd), one, strict=True)]
    print("saved: {:.1%} of requests, {:.1%} of tokens, {:.1%} of money".format(*saved))
    print(f"our share of the time: {cpu / wall:.0%}")


if __name__ == "__main__":
    main()
