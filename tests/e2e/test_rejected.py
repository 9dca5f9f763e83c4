"""Packed messages of every topic through a real broker and the Kafka engine: each bad row is kept, with its reason."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from confluent_kafka import Producer

from chctl.clickhouse import connect
from chctl.contracts import Contract, encode, load_all
from chctl.kafka import producer_config
from chctl.settings import PROJECT_DIR, Settings

CONTRACTS = [contract for contract in load_all(PROJECT_DIR / "contracts") if contract.consumers.clickhouse]


def today(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    """The row with its times moved to this day: tables keep 30 days."""
    now_ms = int(time.time()) * 1000
    unit = {"timestamp_ms": 1, "timestamp_us": 1000}
    return {
        name: now_ms * unit[contract.by_name[name].type] if contract.by_name[name].type in unit else value
        for name, value in row.items()
    }


def send(settings: Settings, contracts: list[Contract]) -> None:
    """All examples of each topic in one message, good and bad rows by turns."""
    producer = Producer(producer_config(settings))
    for contract in contracts:
        good = [encode(today(contract, row)) for row in contract.examples.valid]
        bad = [example.line for example in contract.examples.invalid]
        lines = [line for i in range(max(len(good), len(bad))) for line in good[i : i + 1] + bad[i : i + 1]]
        producer.produce(contract.topic, "\n".join(lines).encode(), key=b"k")
    assert producer.flush(20) == 0


def test_a_bad_row_of_a_packed_message_rejects_only_itself(whole: Settings) -> None:
    settings = whole
    wanted = Counter((c.topic, example.reason) for c in CONTRACTS for example in c.examples.invalid)

    with connect(settings) as client:

        def rejected() -> Counter[tuple[str, str]]:
            rows = client.query("SELECT topic, reason, count() FROM rejected_events FINAL GROUP BY 1, 2").result_rows
            return Counter({(topic, reason): count for topic, reason, count in rows})

        send(settings, CONTRACTS)
        deadline = time.monotonic() + 40
        while rejected().total() < wanted.total():
            assert time.monotonic() < deadline, f"still missing: {wanted - rejected()}"
            time.sleep(0.1)
        assert rejected() == wanted
        stored = client.query("SELECT venue, symbol, trade_id, price, quantity FROM trades").result_rows
        valid = next(c for c in CONTRACTS if c.topic == "market_trades").examples.valid
        assert set(stored) == {(r["venue"], r["symbol"], r["trade_id"], r["price"], r["quantity"]) for r in valid}
