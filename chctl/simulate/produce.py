"""Send a simulated market to the topics, at its own pace or faster: what `chctl simulate` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from confluent_kafka import Producer

from chctl.kafka import producer_config
from chctl.settings import Settings
from chctl.simulate import rows
from chctl.simulate.venue import Market

FLUSH_MS = 100
_encode = msgspec.json.Encoder().encode


def messages(market: Market, start_ms: int) -> Iterator[tuple[int, str, bytes, bytes]]:
    """(arrival in ms after the start, topic, key, value), in that order; rows of one flush and key share a message."""
    actions = rows.user_actions(market, start_ms)
    books = rows.market_l2(market, start_ms)
    streams = (
        ("user_actions", actions, market.actions["arrival"], ("user_id",)),
        ("market_trades", rows.market_trades(market, start_ms), market.trades["arrival"], ("venue", "symbol")),
        ("market_l2", books, np.asarray(books["event_time"].cast("int64")) - start_ms, ("venue", "symbol")),
    )
    packed: list[tuple[int, str, bytes, bytes]] = []
    for topic, table, arrival, key in streams:
        flushes: dict[tuple[int, bytes], list[bytes]] = {}
        for at, row in zip((np.asarray(arrival) // FLUSH_MS).tolist(), json_rows(table), strict=True):
            name = ":".join(str(row[field]) for field in key).encode()
            flushes.setdefault((at, name), []).append(_encode(row))
        packed += [(at * FLUSH_MS, topic, name, b"\n".join(lines)) for (at, name), lines in flushes.items()]
    packed.sort(key=lambda message: message[0])
    yield from packed


def json_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as the contracts want them: times as integers, absent fields left out."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        columns[name] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    for values in zip(*columns.values(), strict=True):
        yield {n: v for n, v in zip(columns, values, strict=True) if v is not None and v != ""}


def produce(settings: Settings, market: Market, speed: float) -> int:
    """Send everything, `speed` times as fast as it happens (0: at once); return the number of messages.

    The market's events are dated so that they happen as they are sent, or, at once, so that the last is just over.
    """
    start_ms = int(time.time() * 1000) - (0 if speed else market.seconds * 1000)
    producer = Producer(producer_config(settings))
    began = time.monotonic()
    sent = 0
    for at, topic, key, value in messages(market, start_ms):
        if speed:
            time.sleep(max(0.0, began + at / 1000 / speed - time.monotonic()))
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:  # the broker is slower: wait, lose nothing
                producer.poll(0.1)
        producer.poll(0)
        sent += 1
    producer.flush()
    return sent
