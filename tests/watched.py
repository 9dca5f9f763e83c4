"""What a node has that has watched a venue for minutes: streams, incidents, alerts, rejects; for dashboards and page.

Rows take the real path (broker, Kafka tables, views), those of accounts from the landing tables on; all at once, dated
so that the last has just happened.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

from chctl.clickhouse import connect
from chctl.demo import social
from chctl.demo.exchange import Incident, SimulatedVenue, simulate
from chctl.node import drain
from chctl.settings import Settings
from chctl.simulate import rows as simulated
from chctl.simulate.venue import simulate as simulate_accounts
from feeders.analysis.lexicon import MODEL, analyser
from feeders.normalizer import Normalizer, Row
from tests.e2e.market_kit import publish
from tests.waiting import wait_for

BOOK_SECONDS = 300
POST_SECONDS = 600
INCIDENTS = [
    Incident("depth_pulled", "SIMBTC", 200, 25),
    Incident("spread_blown_out", "SIMSOL", 230, 8),
    Incident("burst", "SIMETH", 250, 10),
]
#: Trades without a price, as a broken producer sends them.
BROKEN_TRADES = 7

#: Attempts to tell somebody of each alert: accepted after half a second, some after a refusal, one channel never.
_DELIVERIES = """
INSERT INTO alert_deliveries
    (alert_id, status, channel, attempt, attempted_time, outcome, http_status, error, latency_ms)
SELECT
    alert_id,
    status,
    attempt.1,
    attempt.2,
    raised_time + INTERVAL attempt.2 * 400 MILLISECOND,
    attempt.3,
    attempt.4,
    attempt.5,
    120
FROM alerts FINAL
ARRAY JOIN
[
    ('webhook', 1, 'retry', 503, 'HTTP 503'),
    ('webhook', 2, 'delivered', 200, ''),
    ('pager', 1, 'failed', 401, 'HTTP 401: the key is not valid')
] AS attempt
"""


#: Rows of the day before yesterday, in tables that a panel must not read whole: an hour that nobody asks for.
OLD_ROWS = 300_000
_HISTORY = (
    """
    INSERT INTO trades
        (event_time, venue, symbol, trade_id, price_ticks, quantity_lots, side, receive_time, ingest_time)
    SELECT
        now64(3) - 180000 + number / 1000 AS event_time, 'simulated', 'SIMBTC', number, 60000, 1,
        'BUY', event_time, event_time
    FROM numbers({rows})
    """,
    """
    INSERT INTO book_deltas (event_time, window_start, venue, symbol, update_type, last_seq, receive_time, ingest_time)
    SELECT
        now64(3) - 180000 + number / 1000 AS event_time, event_time, 'simulated', 'SIMBTC', 'gap',
        number, event_time, event_time
    FROM numbers({rows})
    """,
    """
    INSERT INTO book_topn (event_time, window_start, venue, symbol, update_type, last_seq, bid_ticks, bid_lots)
    SELECT
        now64(3) - 180000 + number / 1000 AS event_time, event_time, 'simulated', 'SIMBTC', 'delta', number, [1], [1]
    FROM numbers({rows})
    """,
)


def fill(settings: Settings, deliveries: int = 1) -> None:
    """Produce everything so many times, in other blocks each time, and wait until the node has read it."""
    now_ms = int(time.time() * 1000)
    rows = [*_books(now_ms), *_posts(now_ms), *_clicks(now_ms), *_broken(now_ms)]
    market = simulate_accounts(seed=1, minutes=8)
    start_ms = now_ms - market.seconds * 1000
    with connect(settings) as client:
        for delivery in range(deliveries):
            publish(settings, rows[delivery * 100 :])
            # a hundred thousand messages of one row each would take the broker longer than all the rest
            for stream in (simulated.market_l2, simulated.market_trades, simulated.user_actions):
                client.insert_arrow(f"{stream.__name__}_landing", stream(market, start_ms).slice(delivery * 100))
        wait_for(lambda: not drain.unread(settings.kafka_brokers, timeout=5), what="the end of the topics")
        client.command(_DELIVERIES)
        for statement in _HISTORY:
            client.command(statement.format(rows=OLD_ROWS))


def _books(now_ms: int) -> list[Row]:
    """Books and trades of three symbols, with the incidents."""
    events = list(simulate(BOOK_SECONDS, INCIDENTS, seed=1))
    normalizer = Normalizer(SimulatedVenue())
    shift = now_ms // 1000 - events[-1].receive_time // 1_000_000
    normalizer.shift_ms = shift * 1000
    for raw in events:
        normalizer.feed(raw._replace(receive_time=raw.receive_time + shift * 1_000_000))
    normalizer.flush()
    return normalizer.take()


def _posts(now_ms: int) -> Iterator[Row]:
    """Rated posts about three assets from two sources, the mood of one of them turning half-way."""
    for second, post in social.posts(1, turn_after=POST_SECONDS / 2):
        if second > POST_SECONDS:
            return
        at = now_ms + int((second - POST_SECONDS) * 1000)
        text = str(post["text"])
        rated = analyser().score(text, crypto=True)
        source = "news" if int(second) % 3 == 0 else "reddit"
        row = {
            "event_id": post["event_id"], "event_time": at, "processed_time": at + 900, "source": source,
            "symbols": [symbol for symbol in social.SYMBOLS if symbol in text], "language": "en", "text": text,
            "text_hash": hash(text) & 0xFFFFFFFF, "author_hash": post["author"], "sentiment_score": rated.score,
            "sentiment_label": rated.label, "confidence": rated.confidence, "tokens_count": len(text.split()),
            "engagement": post["engagement"], "model": MODEL, "cost_usd": 0.00002, "sampled_weight": 1,
        }  # fmt: skip
        yield Row("social_processed", source.encode(), json.dumps(row).encode())


def _clicks(now_ms: int) -> Iterator[Row]:
    """What forty people do in the browser."""
    rng = random.Random(1)
    for number in range(400):
        at = now_ms - rng.randrange(480_000)
        session = f"session{rng.randrange(40)}"
        row = {
            "event_id": f"e{number}", "event_time": at, "receive_time": at * 1000, "session_id": session,
            "event_type": rng.choice(("click", "order_ticket", "page_view")), "page": "/trade/SIMBTC",
        }  # fmt: skip
        yield Row("frontend_events", session.encode(), json.dumps(row).encode())


def _broken(now_ms: int) -> Iterator[Row]:
    for number in range(BROKEN_TRADES):
        row = {
            "venue": "simulated", "symbol": "SIMBTC", "trade_id": number, "event_time": now_ms - 60_000,
            "receive_time": (now_ms - 60_000) * 1000, "quantity": 1, "side": "BUY",
        }  # fmt: skip
        yield Row("market_trades", b"simulated:SIMBTC", json.dumps(row).encode())
