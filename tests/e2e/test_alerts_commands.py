"""`chctl alerts ...` and `chctl rules ...` on a node: what they show, change and refuse."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

import cli
from chctl import settings as settings_module
from chctl.settings import Settings
from tests.e2e.alert_kit import VIEWS, create_tables, raise_alerts
from tests.waiting import wait_for

Run = Callable[..., Result]


@pytest.fixture
def outbox(client: Client) -> Client:
    create_tables(client, [view for view in VIEWS if view != "alert_delivery_failed_mv"])
    return client


@pytest.fixture
def run(settings: Settings, outbox: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a command against the test's database."""
    assert outbox
    monkeypatch.setenv("CHCTL_CLICKHOUSE_URL", settings.clickhouse_url)
    monkeypatch.setenv("CHCTL_CLICKHOUSE_DATABASE", settings.clickhouse_database)
    settings_module.settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(cli.app, list(arguments))
    settings_module.settings.cache_clear()


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_show_ack_and_resolve_tell_the_story_of_an_alert(run: Run, outbox: Client) -> None:
    raise_alerts(
        outbox, [{"alert_id": "abc1", "evidence": '{"bids": 3}'}, {"alert_id": "abd2", "entity": "kraken:XBT"}]
    )
    assert {row["alert_id"] for row in answer(run("alerts", "list", "--json"))} == {"abc1", "abd2"}

    assert run("alerts", "ack", "abc", "--by", "mona", "--note", "looking").exit_code == 0
    assert {row["alert_id"]: row["acked_by"] for row in answer(run("alerts", "list", "--json"))} == {
        "abc1": "mona",
        "abd2": "",
    }
    assert run("alerts", "resolve", "abc1", "--by", "mona", "--why", "false alarm").exit_code == 0
    assert [row["alert_id"] for row in answer(run("alerts", "list", "--json"))] == ["abd2"]

    (story,) = answer(run("alerts", "show", "abc1", "--json"))
    assert story["evidence"] == '{"bids": 3}'
    assert [(ack["by"], ack["note"]) for ack in story["acknowledgements"]] == [("mona", "looking")]
    assert story["resolved_time"]
    assert {row["alert_id"] for row in answer(run("alerts", "list", "--all", "--json"))} == {"abc1", "abd2"}
    assert "mona" in run("alerts", "show", "abc1").stdout

    again = run("alerts", "resolve", "abc1", "--by", "mona", "--why", "twice")
    assert again.exit_code == 1
    assert "does not fire" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("alerts", "show", "zzz"), "no alert begins with"),
        (("alerts", "ack", "ab"), "beginning of several"),
        (("alerts", "silence", "colour=red", "--for", "1h", "--why", "x"), "no matcher"),
        (("alerts", "silence", "--for", "1h", "--why", "x"), "at least one matcher"),
        (("alerts", "silence", "rule=x", "--for", "soon", "--why", "x"), "no length of time"),
        (("alerts", "silence", "rule=x", "--for", "1h"), "say why"),
        (("alerts", "silence", "--lift", "nope"), "no silence is called"),
        (("alerts", "stats", "--since", "forever"), "no length of time"),
        (("rules", "set", "liquidity_dorp", "drop_share", "0.5", "--note", "x"), "liquidity_drop"),
        (("rules", "set", "liquidity_drop", "share", "0.5", "--note", "x"), "drop_share"),
        (("rules", "set", "liquidity_drop", "drop_share", "nan", "--note", "x"), "finite"),
        (("rules", "reset", "liquidity_drop", "--scope", "binance:NONE"), "nothing is set"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    run: Run, outbox: Client, arguments: tuple[str, ...], says: str
) -> None:
    raise_alerts(outbox, [{"alert_id": "ab1"}, {"alert_id": "ab2"}])
    result = run(*arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_a_silence_is_seen_on_the_alerts_it_holds_until_it_is_lifted(run: Run, outbox: Client) -> None:
    raise_alerts(outbox, [{"alert_id": "btc"}, {"alert_id": "eth", "symbol": "ETHUSDT", "entity": "binance:ETHUSDT"}])
    (silence,) = answer(run("alerts", "silence", "symbol=BTC*", "--for", "2h", "--why", "upgrade", "--json"))
    assert (silence["kind"], silence["matchers"], silence["why"]) == ("silence", {"symbol": "BTC*"}, "upgrade")
    held = {row["alert_id"]: row["silenced"] for row in answer(run("alerts", "list", "--json"))}
    assert "upgrade" in held["btc"]
    assert held["eth"] == ""
    assert answer(run("alerts", "silence", "--lift", silence["silence_id"], "--json")) == []
    assert {row["silenced"] for row in answer(run("alerts", "list", "--json"))} == {""}

    later = answer(run("alerts", "silence", "--maintenance", "--in", "1h", "--for", "2h", "--why", "move", "--json"))
    assert [row["kind"] for row in later] == ["maintenance"]
    assert {row["silenced"] for row in answer(run("alerts", "list", "--json"))} == {""}  # not begun yet


def test_thresholds_change_without_ddl_and_every_change_is_kept(run: Run, outbox: Client) -> None:
    def value(scope: str) -> list[float]:
        rows = answer(run("rules", "list", "liquidity_drop", "--json"))
        return [row["value"] for row in rows if (row["parameter"], row["scope"]) == ("drop_share", scope)]

    (shipped,) = value("*")
    assert (
        run("rules", "set", "liquidity_drop", "drop_share", "0.7", "--note", "too loud", "--by", "mona").exit_code == 0
    )
    one = ("--scope", "binance:BTCUSDT", "--note", "deep book", "--by", "mona")
    assert run("rules", "set", "liquidity_drop", "drop_share", "0.8", *one).exit_code == 0
    assert (value("*"), value("binance:BTCUSDT")) == ([0.7], [0.8])

    (undone,) = answer(
        run("rules", "reset", "liquidity_drop", "--scope", "binance:BTCUSDT", "--note", "as the others", "--json")
    )
    assert (undone["was"], undone["value"]) == (0.8, shipped)
    assert value("binance:BTCUSDT") == []
    assert answer(run("rules", "reset", "liquidity_drop", "--json"))[0]["was"] == 0.7
    assert value("*") == [shipped]

    outbox.command("OPTIMIZE TABLE alert_rules FINAL")
    trail = [
        row for row in answer(run("rules", "history", "liquidity_drop", "--json")) if row["parameter"] == "drop_share"
    ]
    assert [(row["scope"], row["value"], row["note"]) for row in reversed(trail)] == [
        ("*", shipped, trail[-1]["note"]),
        ("*", 0.7, "too loud"),
        ("binance:BTCUSDT", 0.8, "deep book"),
        ("binance:BTCUSDT", shipped, "reset: as the others"),
        ("*", shipped, "reset:"),
    ]


def test_a_rule_reads_a_new_threshold_within_seconds(run: Run, outbox: Client) -> None:
    def read(scope: str) -> float:
        key = f"('liquidity_drop', '{scope}', 'drop_share')"
        return float(outbox.query(f"SELECT dictGetOrDefault('alert_thresholds', 'value', {key}, -1.)").first_row[0])

    assert read("*") == 0.6  # loaded, so that what follows is a reload
    for scope, value in (("*", 0.7), ("binance:BTCUSDT", 0.8)):
        command = ("liquidity_drop", "drop_share", str(value), "--scope", scope, "--note", "too loud")
        assert run("rules", "set", *command).exit_code == 0
        wait_for(lambda scope=scope, value=value: read(scope) == value, 6)


def test_every_rule_has_a_flap_window_that_can_be_set_and_returned_to(run: Run) -> None:
    """The outbox of these tests has no row of flap_s, as a rule of somebody's own would not."""
    assert run("rules", "set", "liquidity_drop", "flap_s", "5", "--note", "quiet").exit_code == 0
    (undone,) = answer(run("rules", "reset", "liquidity_drop", "flap_s", "--json"))
    assert (undone["was"], undone["value"]) == (5, 60)


def test_what_writes_says_what_it_wrote_to_machines_too(run: Run, outbox: Client) -> None:
    raise_alerts(outbox, [{"alert_id": "abc1"}])
    taken = answer(run("alerts", "ack", "abc", "--by", "mona", "--note", "looking", "--json"))
    assert taken == [{"alert_id": "abc1", "acked_by": "mona", "note": "looking"}]
    ended = answer(run("alerts", "resolve", "abc", "--by", "mona", "--why", "false alarm", "--json"))
    assert ended == [{"alert_id": "abc1", "resolved_by": "mona", "why": "false alarm"}]

    one = ("--scope", "binance:BTCUSDT", "--note", "deep book", "--by", "mona", "--json")
    (written,) = answer(run("rules", "set", "liquidity_drop", "drop_share", "0.8", *one))
    rows = answer(run("rules", "list", "liquidity_drop", "--json"))
    assert written in [{name: row[name] for name in written} for row in rows]
    (written,) = answer(run("rules", "own", "liquidity_drop", "--severity", "critical", "--by", "mona", "--json"))
    assert written.pop("updated_by") == "mona"
    assert written in answer(run("rules", "list", "--owners", "--json"))
    assert written["severity"] == "critical"


def test_a_rule_has_an_owner_a_loudness_and_a_runbook(run: Run) -> None:
    assert run("rules", "own", "liquidity_drop", "--severity", "critical", "--by", "mona").exit_code == 0
    (row,) = [row for row in answer(run("rules", "list", "--owners", "--json")) if row["rule"] == "liquidity_drop"]
    assert (row["owner"], row["severity"]) == ("risk", "critical")
    assert row["runbook"]
    assert run("rules", "own", "liquidity_drop", "--severity", "loud").exit_code == 1


def test_in_a_terminal_of_80_columns_names_stay_whole_and_an_id_as_shown_is_taken(
    run: Run, outbox: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    depth = "binance:BTCUSDT: bids within 25 bps fell to 812,331 USDT, 9% of the usual 8,912,777 USDT, for 3 s"
    about = {"rule": "withdrawal_velocity", "severity": "critical", "entity": "user:1234567@binance:BTCUSDT"}
    raise_alerts(outbox, [{"alert_id": f"{n}" * 8 + f"{n:024}", "summary": depth} | about for n in range(3)])
    assert run("alerts", "ack", "2222", "--by", "mona").exit_code == 0
    assert run("alerts", "silence", "user_id=0", "--for", "2h", "--why", "a client tests its own loop").exit_code == 0
    attempt = {"channel": "slack", "outcome": "failed", "http_status": 404, "error": "no such channel, ask its owner"}
    attempt |= {"alert_id": f"22222222{2:024}", "status": "firing", "attempt": 1, "idempotency_key": "msg_" + "a" * 40}
    outbox.insert("alert_deliveries", [list(attempt.values())], column_names=list(attempt))
    why = ("--note", "a calmer pair than was thought at first", "--by", "mona")
    assert run("rules", "set", "liquidity_drop", "drop_share", "0.8", "--scope", "binance:BTCUSDT", *why).exit_code == 0

    listed = run("alerts", "list").stdout
    assert listed.splitlines()[0].split() == ["alert", "severity", "age", "what", "state"]
    assert {"22222222", "critical", "withdrawal_velocity", "user:1234567@binance:BTCUSDT"} <= set(listed.split())
    assert "mona has it" in listed
    shown = run("alerts", "show", "22222222").stdout
    assert "failed 404 no such channel" in shown
    assert "msg_aaaaaaaa" in shown
    for arguments in (
        ("alerts", "list"),
        ("alerts", "list", "--all"),
        ("alerts", "show", "22222222"),
        ("alerts", "silence", "--list"),
        ("alerts", "stats"),
        ("rules", "list"),
        ("rules", "list", "liquidity_drop"),
        ("rules", "list", "--owners"),
        ("rules", "history"),
    ):
        out = run(*arguments).stdout
        assert out.splitlines()
        assert [line for line in out.splitlines() if len(line) > 80 or "…" in line] == []
    history = run("rules", "history", "liquidity_drop").stdout
    assert "for binance:BTCUSDT" in history
    assert "drop_share = 0.8" in history


def test_stats_count_alerts_outcomes_and_latency(run: Run, outbox: Client) -> None:
    now = round(time.time() * 1000)
    raise_alerts(outbox, [{"alert_id": f"a{n}", "raised_time": now / 1000 - 10} for n in range(4)])
    outcomes = [("a0", "delivered", 500), ("a1", "delivered", 1500), ("a2", "failed", 0), ("a3", "suppressed", 0)]
    outbox.insert(
        "alert_deliveries",
        [[alert, "firing", "hook", 1, now - 10_000 + late, outcome] for alert, outcome, late in outcomes],
        column_names=["alert_id", "status", "channel", "attempt", "attempted_time", "outcome"],
    )
    (found,) = answer(run("alerts", "stats", "--json"))
    assert found["rules"] == [{"rule": "test_rule", "raised": 4, "resolved": 0}]
    (hook,) = found["channels"]
    assert (hook["delivered"], hook["failed"], hook["suppressed"]) == (2, 1, 1)
    assert (hook["p50_s"], hook["p99_s"]) in {(0.5, 1.5), (1.5, 1.5)}
    assert (found["open"], found["unacknowledged"], found["feeder"]) == (4, 4, None)
    assert "no feeder ever ran" in run("alerts", "stats").stdout


def test_route_shows_where_an_alert_would_go(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(
        """
        channels:
          ops: {type: webhook, url: "https://ops.example/hook"}
          pager: {type: pagerduty, routing_key_file: pagerduty}
          boss: {type: apprise, url_file: boss}
        fallback: ops
        route:
          channels: [ops]
          repeat: 4h
          routes:
            - match: {severity: critical}
              channels: [pager]
              escalate: [{after: 10m, channels: [boss]}]
        """
    )
    routes = ("--routes", str(file), "--json")
    assert [row["channel"] for row in answer(run("alerts", "route", "--test", "severity=warning", *routes))] == ["ops"]
    critical = answer(run("alerts", "route", "--test", "severity=critical", "rule=liquidity_drop", *routes))
    assert [(row["after_s"], row["channel"], row["repeat_s"]) for row in critical] == [
        (0.0, "pager", 14400.0),
        (600.0, "boss", 0.0),
    ]
    assert run("alerts", "route", "--test", "severity=loud", "--routes", str(file)).exit_code == 1


def test_route_names_the_faults_of_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("channels: {ops: {type: webhook}}\nroute: {channels: [opps]}")
    result = run("alerts", "route", "--routes", str(file))
    assert result.exit_code == 1
    assert "no channel is called 'opps'" in result.stderr
    assert "channels.ops: webhook needs one of url and url_file" in result.stderr


def test_a_feeder_that_cannot_begin_says_why_and_shows_no_secret(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("feed", "alerts").exit_code == 2
    monkeypatch.setenv("CHCTL_WEBHOOK_SECRET", "hunter2!")
    settings_module.settings.cache_clear()
    result = run("feed", "alerts", "--webhook", "https://ops.example/hook")
    assert result.exit_code == 1
    assert "whsec_" in result.stderr
    assert "hunter2" not in result.output
    file = tmp_path / "routes.yaml"
    file.write_text("channels: {ops: {type: webhook, url_file: no_such_file}}\nroute: {channels: [ops]}")
    result = run("feed", "alerts", "--routes", str(file))
    assert result.exit_code == 1
    assert "no_such_file: No such file" in result.stderr


def test_test_says_when_no_feeder_answers(run: Run) -> None:
    result = run("alerts", "test", "hook", "--timeout", "0.5")
    assert result.exit_code == 1
    assert "does a feeder run" in result.stderr
    assert run("alerts", "list").stdout == "nothing fires\n"  # a test that nobody answered does not fire for ever
