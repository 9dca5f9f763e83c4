"""The feeder with a routing file: each channel's own protocol, and who is told what, when, and when not."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from pymongo import MongoClient
from starlette.responses import Response

from chctl import alerts as operations
from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import statements
from tests.e2e import mongo
from tests.e2e.alert_kit import Feeder, create_tables, deliveries, raise_alerts, start_feeder
from tests.receiver import Got, Receiver
from tests.waiting import wait_for


@pytest.fixture
def outbox(client: Client) -> Client:
    create_tables(client)
    return client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    it = Receiver().start()
    yield it
    it.stop()


@pytest.fixture
def feed(settings: Settings, outbox: Client, receiver: Receiver, tmp_path: Path) -> Iterator[Callable[..., Feeder]]:
    """Start a feeder with a routing tree over the channels ops, slack, pager and mail, all on loopback."""
    assert outbox
    started: list[Feeder] = []

    def start(
        route: dict[str, Any],
        *,
        fallback: str = "ops",
        mail: str = "",
        ops: dict[str, Any] | None = None,
        **environment: str,
    ) -> Feeder:
        (tmp_path / "slack").write_text(receiver.url("/services/T0/B0/secret"))
        (tmp_path / "pagerduty").write_text("R0UT1NGKEY")
        (tmp_path / "mail").write_text(mail or "json://127.0.0.1:9/")
        spec = {
            "channels": {
                "ops": {"type": "webhook", "url": receiver.url("/ops"), "max_attempts": 2} | (ops or {}),
                "slack": {"type": "slack", "url_file": "slack"},
                "pager": {"type": "pagerduty", "routing_key_file": "pagerduty", "url": receiver.url("/v2/enqueue")},
                "mail": {"type": "apprise", "url_file": "mail"},
            },
            "route": route,
            "fallback": fallback,
        }
        named = json.dumps([route, fallback])
        spec["channels"] = {name: channel for name, channel in spec["channels"].items() if f'"{name}"' in named}  # type: ignore[attr-defined]
        file = tmp_path / "routes.yaml"
        file.write_text(yaml.safe_dump(spec))
        # No broker: what is tested here must work from the outbox alone.
        away = settings.model_copy(update={"kafka_brokers": "127.0.0.1:1"})
        environment = {"CHCTL_SECRETS_DIR": str(tmp_path), "CHCTL_DASHBOARD_URL": "https://grafana.test"} | environment
        started.append(start_feeder(away, "--routes", str(file), **environment))
        return started[-1]

    yield start
    for feeder in started:
        feeder.kill()


def at(receiver: Receiver, path: str) -> list[Got]:
    return [got for got in receiver.got if got.path == path]


def test_pagerduty_is_triggered_acknowledged_and_resolved_under_one_dedup_key(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed({"channels": ["pager"]}, fallback="")
    raise_alerts(outbox, [{"alert_id": "a1", "rule": "liquidity_drop", "severity": "critical", "evidence": '{"x":1}'}])
    wait_for(lambda: deliveries(outbox, "delivered"))
    operations.acknowledge(outbox, "a1", "mona", "looking")
    wait_for(lambda: len(at(receiver, "/v2/enqueue")) == 2)
    operations.resolve(outbox, "a1", "mona", "over")
    wait_for(lambda: len(at(receiver, "/v2/enqueue")) == 3)
    events = [got.json for got in at(receiver, "/v2/enqueue")]
    assert [(e["event_action"], e["dedup_key"], e["routing_key"]) for e in events] == [
        ("trigger", "a1", "R0UT1NGKEY"),
        ("acknowledge", "a1", "R0UT1NGKEY"),
        ("resolve", "a1", "R0UT1NGKEY"),
    ]
    payload = events[0]["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == (
        "critical",
        "binance:BTCUSDT",
        "liquidity_drop",
    )
    assert payload["custom_details"]["owner"] == "risk"
    assert events[0]["links"][0]["href"].startswith("https://grafana.test/d/liquidity?from=")


def test_a_storm_is_a_few_messages_and_one_with_the_count(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed({"channels": ["slack"], "group": {"limit": 3, "window": "2s"}}, fallback="")
    raise_alerts(outbox, [{"alert_id": f"a{n:03}", "entity": f"user:{n}", "user_id": 0} for n in range(500)])
    wait_for(lambda: len(set(deliveries(outbox, "delivered"))) == 500)
    messages = [got.json for got in at(receiver, "/services/T0/B0/secret")]
    assert len(messages) == 4
    headers = [
        block["text"]["text"] for message in messages for block in message["blocks"] if block["type"] == "header"
    ]
    assert headers[3].endswith("test_rule firing \u00d7 497")


def test_5000_alerts_in_a_minute_are_a_page_a_rule_and_symbol_and_each_history_names_its_page(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed({"channels": ["ops"], "group": {"limit": 0, "window": "5s"}}, fallback="")
    now = time.time()
    raise_alerts(
        outbox,
        [
            {
                "alert_id": f"a{n:04}",
                "rule": ("spread_blowout", "liquidity_drop")[n % 2],
                "symbol": ("BTCUSDT", "ETHUSDT")[n // 2 % 2],
                "entity": f"user:{n}",
                "raised_time": now - 60 + n * 60 / 5000,
            }
            for n in range(5000)
        ],
    )
    wait_for(lambda: len(deliveries(outbox, "delivered")) >= 5000, 60)
    groups = "SELECT rule, symbol FROM alerts WHERE alert_id IN (SELECT alert_id FROM alert_deliveries WHERE"
    pages = {}
    for got in at(receiver, "/ops"):
        key = got.headers["webhook-id"]
        pages[key] = len(got.json["data"]["alerts"])
        of = outbox.query(f"{groups} idempotency_key = {{key:String}}) GROUP BY rule, symbol", parameters={"key": key})
        assert len(of.result_rows) == 1
    assert sorted(pages.values()) == [1250] * 4
    # Of each alert on its own: told once, in the page that went out.
    each = outbox.query(
        "SELECT delivered, arrayFilter(attempt -> attempt.6 = 'delivered', attempts)[1].10 AS page, count() AS alerts"
        " FROM alerts_history GROUP BY delivered, page"
    ).result_rows
    assert sorted(each) == sorted((1, key, 1250) for key in pages)


def test_a_silence_holds_pages_back_and_what_still_fires_is_told_when_it_ends(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    silence = operations.silence(outbox, ["symbol=BTC*"], lasts="1h", why="upgrade", who="mona")
    feed({"channels": ["ops"]}, fallback="")
    raise_alerts(
        outbox,
        [
            {"alert_id": "held"},
            {"alert_id": "over"},
            {"alert_id": "over", "status": "resolved"},
            {"alert_id": "told", "symbol": "ETHUSDT", "entity": "binance:ETHUSDT"},
        ],
    )
    wait_for(lambda: len(deliveries(outbox, "delivered", "suppressed")) == 4)
    assert receiver.delivered() == [("told", "firing")]
    (why,) = outbox.query("SELECT error FROM alert_deliveries WHERE alert_id = 'held' AND status = 'firing'").first_row
    assert why == f"silence {silence} by mona: upgrade"
    operations.lift(outbox, silence, "mona")
    wait_for(lambda: ("held", "firing") in receiver.delivered())
    assert {alert_id for alert_id, _ in receiver.delivered()} == {"told", "held"}


def test_what_a_silence_held_is_no_storm_of_pages_when_it_ends(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    silence = operations.silence(outbox, ["rule=test_rule"], lasts="1h", why="upgrade", who="mona")
    group = {"limit": 3, "window": "1s"}
    feed({"channels": ["ops"], "repeat": "5s", "group": group}, fallback="")
    raise_alerts(outbox, [{"alert_id": f"a{n:03}", "entity": f"user:{n}"} for n in range(100)])
    wait_for(lambda: len(deliveries(outbox, "suppressed")) == 100)
    operations.lift(outbox, silence, "mona")
    wait_for(lambda: len(deliveries(outbox, "delivered")) >= 100)
    # Sorted: pages of different entities go side by side, and arrive in no order.
    assert sorted(len(got.alerts) for got in receiver.got) == [1, 1, 1, 97]
    wait_for(lambda: len(deliveries(outbox, "delivered")) >= 200)  # and what is said again is none either
    assert len(receiver.got) <= 16
    assert len({got.key for got in receiver.got}) == len(receiver.got)


def test_what_flaps_is_told_if_it_lasts(outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]) -> None:
    outbox.command("INSERT INTO alert_rules (rule, scope, parameter, value) VALUES ('flapper', '*', 'flap_s', 4)")
    feed({"channels": ["ops"]}, fallback="")

    def on_record(alert_id: str, status: str, outcome: str) -> bool:
        return (alert_id, status, outcome) in {(row[0], row[1], row[3]) for row in deliveries(outbox)}

    for alert_id, status, outcome in (
        ("first", "firing", "delivered"),
        ("first", "resolved", "delivered"),
        ("again", "firing", "suppressed"),
        ("again", "resolved", "suppressed"),
        ("lasting", "firing", "suppressed"),
    ):
        raise_alerts(outbox, [{"alert_id": alert_id, "rule": "flapper", "status": status}])
        wait_for(lambda row=(alert_id, status, outcome): on_record(*row))
    (why,) = outbox.query("SELECT error FROM alert_deliveries WHERE alert_id = 'again' AND status = 'firing'").first_row
    assert why.startswith("flaps: back ")
    wait_for(lambda: on_record("lasting", "firing", "delivered"))
    assert receiver.delivered() == [("first", "firing"), ("first", "resolved"), ("lasting", "firing")]


def test_nobody_acknowledges_so_it_is_said_again_and_then_to_others(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed(
        {"channels": ["ops"], "repeat": "1s", "escalate": [{"after": "1s", "channels": ["pager"]}]},
    )
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: len(at(receiver, "/ops")) >= 3 and at(receiver, "/v2/enqueue"))
    assert len({got.key for got in at(receiver, "/ops")}) == len(at(receiver, "/ops"))  # each a message of its own
    operations.acknowledge(outbox, "a1", "mona", "")
    wait_for(lambda: at(receiver, "/ops")[-1].json["type"] == "alert.acknowledged")
    count = len(at(receiver, "/ops"))
    time.sleep(2.0)  # two repeats' worth of silence is the effect
    assert len(at(receiver, "/ops")) == count
    assert len([got for got in at(receiver, "/v2/enqueue") if got.json["event_action"] == "trigger"]) == 1


def test_a_channel_that_fails_stops_no_other_and_is_reported_by_another(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    broken = True
    receiver.script = lambda got: Response("gone", 410) if got.path == "/ops" and broken else None
    feed({"channels": ["ops", "pager"]}, fallback="pager")
    raise_alerts(outbox, [{"alert_id": "a1"}])
    wait_for(lambda: len(at(receiver, "/v2/enqueue")) == 2)
    first, report = (got.json for got in at(receiver, "/v2/enqueue"))
    assert first["dedup_key"] == "a1"
    assert report["payload"]["summary"] == "channel ops failed for good: gone"
    assert report["payload"]["custom_details"]["owner"] == "platform"
    assert len(at(receiver, "/ops")) == 1
    broken = False
    raise_alerts(outbox, [{"alert_id": "a2"}])
    wait_for(lambda: any(got.json["event_action"] == "resolve" for got in at(receiver, "/v2/enqueue")))


def test_chctl_alerts_test_goes_the_whole_way_to_the_channel_it_names(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    feed({"channels": ["ops"], "routes": [{"match": {"severity": "critical"}, "channels": ["pager"]}]})
    (row,) = operations.test_channel(outbox, "pager", "mona", timeout=45)
    assert (row["channel"], row["status"], row["outcome"], row["http_status"]) == (
        "pager",
        "resolved",
        "delivered",
        204,
    )
    assert at(receiver, "/ops") == []
    (row,) = operations.test_channel(outbox, "pigeon", "mona", timeout=45)
    assert (row["outcome"], row["error"]) == ("suppressed", "no channel is called pigeon")


class Slow(Response):
    """Takes a fifth of a second to answer; `most` is how many did so at once."""

    now = most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        Slow.now += 1
        Slow.most = max(Slow.most, Slow.now)
        await asyncio.sleep(0.2)
        Slow.now -= 1
        await super().__call__(scope, receive, send)


def test_a_channel_gets_no_more_at_once_and_a_second_than_it_takes(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    Slow.most = 0
    receiver.script = lambda _got: Slow(status_code=204)
    unbounded = {"limit": 1000, "window": "1s"}
    feed({"channels": ["ops"], "group": unbounded}, fallback="", ops={"concurrency": 2, "rate": 8})
    raise_alerts(outbox, [{"alert_id": f"a{n}", "entity": f"e{n}"} for n in range(16)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 16)
    assert Slow.most == 2
    times = [got.time for got in receiver.got]
    assert times[-1] - times[0] >= 15 / 8 * 0.95


def test_retry_after_is_waited_for_by_the_whole_channel(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder]
) -> None:
    receiver.script = lambda _got: Response("slow down", 429, {"retry-after": "2"}) if len(receiver.got) == 1 else None
    feed({"channels": ["ops"]}, fallback="", ops={"concurrency": 1})
    raise_alerts(outbox, [{"alert_id": f"a{n}", "entity": f"e{n}"} for n in range(3)])
    wait_for(lambda: len(deliveries(outbox, "delivered")) == 3)
    first, *rest = (got.time for got in receiver.got)
    assert min(rest) - first >= 2.0


class Mailbox:
    """Keeps what an SMTP server receives."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


def test_mail_goes_out_through_apprise(outbox: Client, feed: Callable[..., Feeder]) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{port}/?from=chctl@risk.test&to=ops@risk.test&mode=insecure&format=text"
        feeder = feed({"channels": ["mail"]}, fallback="", mail=url)
        raise_alerts(outbox, [{"alert_id": "a1", "summary": "depth fell by 70 %"}])
        wait_for(lambda: deliveries(outbox, "delivered"))
    finally:
        server.stop()
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[warning] firing: test_rule binance:BTCUSDT"
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "depth fell by 70 %" in text.decode()
    assert not feeder.said(url)


@pytest.fixture(scope="session")
def ferretdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mongo.build(tmp_path_factory.mktemp("ferretdb"))


@pytest.mark.timeout(600)
def test_a_page_carries_the_account_and_waits_for_no_database(
    outbox: Client, receiver: Receiver, feed: Callable[..., Feeder], ferretdb: Path, tmp_path: Path
) -> None:
    def accounts() -> list[Any]:
        return [got.json["data"]["account"] for got in at(receiver, "/ops")]

    with mongo.running(ferretdb, tmp_path) as (uri, process):
        with MongoClient(uri) as database:
            database.get_database("chctl").accounts.insert_one(
                {"user_id": 42, "tier": "vip", "country": "CH", "tags": ["mm"], "risk_policy": "strict", "mail": "x@y"}
            )
        feed({"channels": ["ops"]}, fallback="", CHCTL_MONGO_URI=uri, CHCTL_MONGO_DEADLINE_S="0.5")
        raise_alerts(outbox, [{"alert_id": "a1", "user_id": 42}])
        wait_for(lambda: len(accounts()) == 1)
        raise_alerts(outbox, [{"alert_id": "a2", "user_id": 43}])
        wait_for(lambda: len(accounts()) == 2)
        process.send_signal(signal.SIGSTOP)  # hung, not gone: connections stay open and nobody answers
        raise_alerts(outbox, [{"alert_id": "a3", "user_id": 44}, {"alert_id": "a4", "user_id": 42}])
        wait_for(lambda: len(accounts()) == 4)
        process.send_signal(signal.SIGCONT)
    assert accounts()[:2] == [
        {"found": True, "tier": "vip", "country": "CH", "tags": ["mm"], "risk_policy": "strict"},  # and no e-mail
        {"found": False},
    ]
    assert set(accounts()[2]) == {"error"}
    assert accounts()[3]["tier"] == "vip"  # from the cache
    times = dict(
        outbox.query(
            """
        SELECT deliveries.alert_id, dateDiff('millisecond', alerts.raised_time, deliveries.attempted_time)
        FROM alert_deliveries AS deliveries
        INNER JOIN alerts ON alerts.alert_id = deliveries.alert_id
        WHERE deliveries.outcome = 'delivered'
        """
        ).result_rows
    )
    assert times["a3"] < 5000


def test_the_node_takes_the_dictionary_of_accounts_and_says_why_it_cannot_read_it(client: Client) -> None:
    """A server reads MongoDB by it (deploy/clickhouse/optional/mongo.xml); the embedded engine has no driver."""
    (statement,) = statements((PROJECT_DIR / "deploy" / "clickhouse" / "accounts_dictionary.sql").read_text())
    client.command(statement.sql)
    columns = client.query(
        "SELECT attribute.names FROM system.dictionaries WHERE (name = 'accounts') AND (database = currentDatabase())"
    )
    assert columns.result_rows == [(["tier", "country", "risk_policy"],)]
    with pytest.raises(DatabaseError, match="built without mongodb support"):
        client.query("SELECT dictGet('accounts', 'tier', toUInt64(42))")
