"""The runbook's backup, restore and replay, rehearsed on a whole node: an empty one takes the backup and reads on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer

from chctl import drift, status
from chctl.answers import select
from chctl.clickhouse import connect
from chctl.replay import replay
from chctl.settings import Settings
from feeders.replay import recording
from tests.e2e.market_kit import SPOT, assert_whole, first, normalized, publish, state
from tests.waiting import wait_for
from tests.whole import Start

OBJECTS = "SELECT name, engine, create_table_query FROM system.tables WHERE database = 'chctl' ORDER BY name"
CLICKS = "SELECT count() FROM frontend_actions FINAL WHERE session_id = 'backup'"


def test_an_empty_node_restores_everything_and_reads_on_where_the_group_stands(whole_node: Start) -> None:
    node = whole_node()
    s = node.settings()
    with connect(s) as client:
        _click(s, "before")
        wait_for(lambda: client.command(CLICKS) == 1)
        client.insert("alert_rules", [["spread_blowout", "*", "factor", 7.5, "ours"]], column_names=_RULE)
        objects, rules = select(client, OBJECTS), _rules(client)
        (done,) = select(client, "BACKUP DATABASE chctl TO File('chctl-2026-11-23')")
        assert done["status"] == "BACKUP_CREATED"
        _click(s, "after")  # the node dies with what it stored since
        wait_for(lambda: client.command(CLICKS) == 2)
    node.kill()  # the broker lives on
    (node.data_dir / "clickhouse").rename(node.data_dir / "lost")

    s = whole_node().settings()  # an empty engine, beside the same broker
    with connect(s, database="") as client:
        (done,) = select(client, "RESTORE DATABASE chctl FROM File('chctl-2026-11-23')")
        assert done["status"] == "RESTORED"
    found = status.read(s)
    assert (found.pending_migrations, found.pending_views, found.stopped_at, found.refusals) == ([], [], [], [])
    assert drift.drift(s) == []
    with connect(s) as client:
        assert select(client, OBJECTS) == objects
        assert _rules(client) == rules
        assert client.command(CLICKS) == 1  # not the second: the group had read it
        _click(s, "later")
        wait_for(lambda: client.command(f"{CLICKS} AND event_id = 'later'") == 1)
        threshold = "SELECT dictGet('alert_thresholds', 'value', ('spread_blowout', '*', 'factor'))"
        assert client.query(threshold).result_rows == [(7.5,)]


def test_a_replay_after_the_restore_brings_back_what_came_after_the_backup(whole_node: Start, captures: Path) -> None:
    node = whole_node()
    s = node.settings()
    rows = normalized(first(60, recording(captures / SPOT, "BTCUSDT")), datetime.now(UTC))
    half = len(rows) // 2
    produced = publish(s, rows[:half])
    assert_whole(state(s, produced))
    backup_from = datetime.now(UTC) - timedelta(seconds=1)  # Kafka's clock and ours are one here
    with connect(s) as client:
        (done,) = select(client, "BACKUP DATABASE chctl TO File('chctl-2026-11-24')")
        assert done["status"] == "BACKUP_CREATED"
    produced += publish(s, rows[half:])
    assert_whole(state(s, produced))
    with connect(s) as client:
        held = _held(client)
    node.kill()  # the broker lives on
    (node.data_dir / "clickhouse").rename(node.data_dir / "lost")

    s = whole_node().settings()
    with connect(s, database="") as client:
        select(client, "RESTORE DATABASE chctl FROM File('chctl-2026-11-24')")
    with connect(s) as client:
        assert _held(client) != held
    for topic in ("market_l2", "market_trades"):
        assert replay(s, topic, backup_from).messages > 0
    assert_whole(state(s, produced))
    with connect(s) as client:
        assert _held(client) == held


def _held(client: Client) -> list[dict[str, object]]:
    """What people read of the market: how much there is, and a hash over all of it."""
    columns = {
        "trades FINAL": "venue, symbol, trade_id, event_time, price, quantity, side",
        "book_topn FINAL": "venue, symbol, window_start, bid_ticks, bid_lots, ask_ticks, ask_lots",
        "dash_trades_1s": "*",
        "dash_liquidity": "venue, symbol, second, bids_within, asks_within",
    }
    return [
        select(client, f"SELECT count() AS rows, groupBitXor(cityHash64({picked})) AS hash FROM {table}")[0]
        for table, picked in columns.items()
    ]


_RULE = ["rule", "scope", "parameter", "value", "note"]


def _rules(client: Client) -> list[dict[str, object]]:
    return select(client, "SELECT * FROM alert_rules ORDER BY ALL")


def _click(s: Settings, event_id: str) -> None:
    at = int(time.time() * 1000)
    row = {"event_id": event_id, "event_time": at, "receive_time": at * 1000, "session_id": "backup", "event_type": "x"}
    producer = Producer({"bootstrap.servers": s.kafka_brokers})
    producer.produce("frontend_events", msgspec.json.encode(row))
    assert producer.flush(10) == 0
