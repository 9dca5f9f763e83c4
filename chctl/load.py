"""`chctl load`: every topic at a chosen pace, and what the node makes of it beside the run before.

The market is the one of `chctl simulate`, several times over under venues of their own (load10, load11, ...); browser
events and posts are the contracts' examples with fresh names and times. A heartbeat a second goes with them: its way
through the node is the latency of the alert path under load.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import KafkaException

from chctl import lag
from chctl.answers import Row, select
from chctl.clickhouse import connect
from chctl.contracts import Contract, ContractError, encode, load_all
from chctl.settings import Settings
from chctl.simulate.produce import messages
from chctl.simulate.venue import simulate
from feeders.runtime import Publisher, PublishError

ERRORS = (Error, KafkaException, PublishError, ContractError, OSError)

#: Seconds the node may take to store what was produced, after the last message.
SETTLE_SECONDS = 120.0
LOOK_SECONDS = 5.0
_LABEL = re.compile(rb'"(venue|event_id|user_id)":("?)')
_EVENT = re.compile(rb'"event_id":"([^"]+)"')


@dataclass(frozen=True)
class Profile:
    """How much: simulated markets side by side, browser events and posts a second."""

    markets: int
    frontend: int
    posts: int
    says: str


PROFILES = {
    "calm": Profile(1, 5, 1, "one quiet venue"),
    "busy": Profile(4, 50, 5, "four venues and a full site"),
    "crash": Profile(12, 200, 30, "everybody at once"),
}
#: What a run of ours left in the tables, each row once; {mark} names the run.
STORED = {
    "market_l2": "SELECT count() FROM book_deltas FINAL WHERE startsWith(venue, '{mark}')",
    "market_trades": "SELECT count() FROM trades FINAL WHERE startsWith(venue, '{mark}')",
    "user_actions": "SELECT (SELECT count() FROM user_orders FINAL WHERE startsWith(event_id, '{mark}'))"
    " + (SELECT count() FROM user_transfers FINAL WHERE startsWith(event_id, '{mark}'))"
    " + (SELECT count() FROM user_logins FINAL WHERE startsWith(event_id, '{mark}'))",
    "frontend_events": "SELECT count() FROM frontend_actions FINAL WHERE startsWith(event_id, '{mark}')",
    "social_processed": "SELECT uniqExact(event_id) FROM social_buzz WHERE startsWith(event_id, '{mark}')",
}


@dataclass
class Result:
    """One run. Rates in rows a second, latencies in milliseconds, sizes in bytes."""

    profile: str
    began: str
    seconds: float
    produced: dict[str, int] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)  # among them; stored once
    stored: dict[str, int] = field(default_factory=dict)
    settled_s: float = 0.0
    lag_messages: int = 0
    lag_s: float = 0.0
    to_outbox_ms_p50: float | None = None
    to_outbox_ms_p99: float | None = None
    to_channel_ms_p50: float | None = None
    to_channel_ms_p99: float | None = None
    memory_bytes: int = 0
    disk_bytes: int = 0
    max_parts: int = 0

    @property
    def complete(self) -> bool:
        """Whether each row produced is stored, once."""
        return all(
            self.stored.get(topic) == self.produced.get(topic, 0) - self.repeats.get(topic, 0) for topic in STORED
        )


def traffic(
    profile: Profile, seconds: float, contracts: dict[str, Contract], mark: str
) -> Iterator[tuple[float, str, bytes, bytes]]:
    """(seconds after the start, topic, key, rows joined by newlines), in that order."""
    start_ms = int(time.time() * 1000)
    market = simulate(1, max(8.0, seconds / 60))
    found: list[tuple[float, str, bytes, bytes]] = []
    for at, topic, key, value in messages(market, start_ms):
        if at / 1000 > seconds:
            break
        for number in range(10, 10 + profile.markets):
            found.append((at / 1000, topic, b"%d:%b" % (number, key), _relabel(value, mark, number)))
    for topic, rate in (
        ("frontend_events", profile.frontend),
        ("social_raw", profile.posts),
        ("social_processed", profile.posts),
    ):
        example = contracts[topic].examples.valid[0]
        for number in range(int(rate * seconds)):
            after = number / rate
            row = _fresh(example, contracts[topic], start_ms + int(after * 1000), f"{mark}-{number}")
            found.append((after, topic, str(number % 64).encode(), encode(row).encode()))
    found.sort(key=lambda message: message[0])
    yield from found


def _relabel(value: bytes, mark: str, number: int) -> bytes:
    """The same rows as another venue's, with events and accounts of its own."""

    def label(match: re.Match[bytes]) -> bytes:
        name = match[1]
        if name == b"user_id":
            return b'"user_id":%d' % number
        prefix = f"{mark}{number}-" if name == b"event_id" else f"{mark}{number}"
        return b'"%b":"%b' % (name, prefix.encode())

    return _LABEL.sub(label, value)


def _identity(row: bytes) -> bytes:
    """What two deliveries of one row share: its event_id where it has one, else all of it."""
    found = _EVENT.search(row)
    return found[1] if found else row


def _fresh(example: dict[str, Any], contract: Contract, now_ms: int, name: str) -> dict[str, Any]:
    row = dict(example)
    for one in contract.fields:
        if one.type == "timestamp_ms" and one.name in row:
            row[one.name] = now_ms
        elif one.type == "timestamp_us" and one.name in row:
            row[one.name] = now_ms * 1000
    return row | {"event_id": name}


def run(s: Settings, profile: str, seconds: float, tell: Callable[[str], None]) -> Result:
    """Drive the topics, look every few seconds, wait until all is stored. Raises Error and PublishError."""
    contracts = {contract.topic: contract for contract in load_all(s.project_dir / "contracts")}
    mark = f"load{int(time.time()) % 1_000_000:06d}x"
    planned = list(traffic(PROFILES[profile], seconds, contracts, mark))
    publisher = Publisher(s)
    result = Result(profile, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), seconds)
    produced: Counter[str] = Counter()
    events: dict[str, set[bytes]] = defaultdict(set)
    groups = [(f"chctl.clickhouse.{topic}", topic) for topic in STORED]
    with connect(s) as client:
        before = _disk(client)
        began = looked = beat = time.monotonic()
        for at, topic, key, value in planned:
            while (left := began + at - time.monotonic()) > 0:
                publisher.flush()
                time.sleep(min(left, 0.05))
            publisher.wait_for_room()
            for row in value.split(b"\n"):
                publisher.add(topic, key, row)
                produced[topic] += 1
                events[topic].add(_identity(row))
            if (now := time.monotonic()) - beat >= 1.0:
                beat = now
                _beat(publisher, mark)
            if now - looked >= LOOK_SECONDS:
                looked = now
                _look(s, client, result, groups)
                done = sum(produced.values())
                tell(
                    f"{now - began:5.0f} s  {done:,} rows, {done / (now - began):,.0f} a second, "
                    f"lag {result.lag_s:.1f} s"
                )
        publisher.drain()
        publisher.close()
        ended = time.monotonic()
        result.seconds = round(ended - began, 1)
        result.produced = dict(produced)
        result.repeats = {topic: count - len(events[topic]) for topic, count in produced.items()}
        while True:
            _look(s, client, result, groups)
            result.stored = {topic: _count(client, sql, mark) for topic, sql in STORED.items()}
            if result.complete or time.monotonic() - ended > SETTLE_SECONDS:
                break
            time.sleep(0.5)
        result.settled_s = round(time.monotonic() - ended, 1)
        result.disk_bytes = _disk(client) - before
        _latency(client, result, mark)
    return result


def _beat(publisher: Publisher, mark: str) -> None:
    row = {"sender": mark, "sent_time": int(time.time() * 1000)}
    publisher.add("heartbeats", mark, msgspec.json.encode(row))


def _count(client: Client, sql: str, mark: str) -> int:
    return int(client.query(sql.format(mark=mark)).result_rows[0][0])


def _disk(client: Client) -> int:
    return int(client.query("SELECT sum(bytes) FROM dash_storage").result_rows[0][0])


def _look(s: Settings, client: Client, result: Result, groups: list[tuple[str, str]]) -> None:
    for found in lag.read(s, groups):
        result.lag_messages = max(result.lag_messages, found.messages)
        result.lag_s = max(result.lag_s, round(found.seconds or 0.0, 1))
    memory, parts = client.query(
        "SELECT (SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'), "
        "(SELECT max(max_parts) FROM dash_storage)"
    ).result_rows[0]
    result.memory_bytes = max(result.memory_bytes, int(memory))
    result.max_parts = max(result.max_parts, int(parts))


def _latency(client: Client, result: Result, mark: str) -> None:
    columns = ", ".join(
        f"quantileOrNull(0.{share})({hop}) AS {hop}_p{share}"
        for hop in ("to_outbox_ms", "to_channel_ms")
        for share in (50, 99)
    )
    sql = f"SELECT {columns} FROM dash_heartbeats WHERE sender = {{mark:String}}"
    (row,) = select(client, sql, mark=mark)
    for name, value in row.items():
        setattr(result, name, None if value is None else round(value, 1))


# --- kept and shown


def previous(folder: Path, profile: str) -> Result | None:
    """The last run of this profile, if there is one."""
    try:
        return msgspec.convert(json.loads((folder / f"{profile}.json").read_text()), Result)
    except (OSError, ValueError, msgspec.ValidationError):
        return None


def keep(folder: Path, result: Result) -> None:
    """Remember this run for the next."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result.profile}.json").write_text(json.dumps(asdict(result)))


def table(result: Result, before: Result | None) -> list[Row]:
    """What was seen, beside the run before."""
    now, then = _figures(result), _figures(before) if before else {}
    return [{"figure": name, "this run": text, "the run before": then.get(name, "")} for name, text in now.items()]


def _figures(r: Result) -> dict[str, str]:
    found = {"began": r.began, "seconds": f"{r.seconds:g}"}
    for topic, count in sorted(r.produced.items()):
        repeated = f", {n:,} sent again" if (n := r.repeats.get(topic, 0)) else ""
        stored = f", {r.stored[topic]:,} stored" if topic in r.stored else ""
        found[topic] = f"{count / r.seconds:,.0f} rows/s ({count:,}{repeated}{stored})"
    found |= {
        "largest lag": f"{r.lag_messages:,} messages, {r.lag_s:g} s",
        "stored after the end": f"{r.settled_s:g} s",
        "produced to outbox p50, p99": f"{_ms(r.to_outbox_ms_p50)}, {_ms(r.to_outbox_ms_p99)}",
        "outbox to channel p50, p99": f"{_ms(r.to_channel_ms_p50)}, {_ms(r.to_channel_ms_p99)}",
        "memory at most": f"{r.memory_bytes / 2**20:,.0f} MiB",
        "disk": f"{r.disk_bytes / 2**20:,.1f} MiB more",
        "parts in a partition at most": str(r.max_parts),
    }
    return found


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:g} ms"
