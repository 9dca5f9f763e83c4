"""`chctl backtest`: an edited rule over the node's history, beside what the live rule fired."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from chctl.backtest import Alert, Backtest, duration, moving_block
from chctl.backtest.engine import clocked
from chctl.backtest.show import names, show
from chctl.migrate import MigrateError, migrate
from chctl.scaffold import new_rule
from chctl.settings import PROJECT_DIR, Settings

RULE = "views/alerts/alert_liquidity_drop_mv.sql"
SIGNALS = "views/alerts/alert_spread_blowout_mv.sql"
SEVERAL = "views/alerts/alert_orders_mv.sql"

Spans = tuple[tuple[int, int], ...]  # seconds ago, and for how many seconds


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real migrations and views, without the ends that read and write Kafka."""
    folder = tmp_path_factory.mktemp("project")
    ends = shutil.ignore_patterns("ingest", "to_kafka_*")
    for part in ("migrations", "views"):
        shutil.copytree(PROJECT_DIR / part, folder / part, ignore=ends if part == "views" else None)
    return folder


@pytest.fixture
def node(settings: Settings, client: Client, files: Path) -> Settings:
    """Settings of a node with these files' schema."""
    settings = settings.model_copy(update={"project_dir": files})
    migrate(settings)
    client.command("SYSTEM RELOAD DICTIONARY alert_thresholds")
    return settings


def fill(client: Client, hours: int, drops: Spans = (), wide: Spans = ()) -> None:
    """A book a second up to now; spans in which the bids within 10 bps vanish, or the spread is 50 bps."""
    now = int(time.time())
    pulled, widened = (
        " OR ".join(f"(t >= {now - ago} AND t < {now - ago + lasts})" for ago, lasts in found) or "0"
        for found in (drops, wide)
    )
    for start in range(now - hours * 3600, now, 300):
        client.command(
            "INSERT INTO market_l2_landing (venue, symbol, update_type, window_start, event_time, last_seq,"
            " price_scale, bid_ticks, bid_lots, ask_ticks, ask_lots, depth_bps, bid_depth, ask_depth)"
            f" WITH {start} + number AS t SELECT 'test', 'BTCUSDT', 'delta', toDateTime64(t, 3, 'UTC'),"
            f" toDateTime64(t, 3, 'UTC'), t, 2, [6000000], [10], [if({widened}, 6030000, 6000100)],"
            " [10], [5, 10, 25],"
            f" if({pulled}, [0., 0., 1.], [5., 10., 25.]), [5., 10., 25.] FROM numbers(300) WHERE t < {now}"
        )


def command(settings: Settings, rule: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a DBA does."""
    environment = os.environ | {
        "CHCTL_PROJECT_DIR": str(settings.project_dir),
        "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
        "CHCTL_CLICKHOUSE_DATABASE": settings.clickhouse_database,
    }
    words = [sys.executable, "-m", "cli", "backtest", str(settings.project_dir / rule), "--json", *arguments]
    return subprocess.run(words, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=100)


def run(settings: Settings, *arguments: str, rule: str = RULE) -> Any:
    """The JSON of a command that succeeds."""
    done = command(settings, rule, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def started(alerts: list[dict[str, Any]]) -> list[str]:
    return [a["alert_id"] for a in alerts if a["status"] == "firing"]


def test_the_same_rule_finds_what_fired_live_and_what_was_too_old_to(
    node: Settings, client: Client, tmp_path: Path
) -> None:
    fill(client, 2, drops=((2700, 30), (1800, 30), (300, 30)))
    tables = "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    before = client.query(tables).result_rows

    png = tmp_path / "plot.png"
    result = run(node, "--since", "1h", "--png", str(png))
    assert len(started(result["live"])) == 1  # older events raise nothing: max_age_s
    assert len(started(result["edited"])) == 3
    assert set(started(result["live"])) < set(started(result["edited"]))  # the same situation is the same alert
    assert [a["status"] for a in result["edited"]].count("resolved") == 3
    assert png.read_bytes().startswith(b"\x89PNG")
    assert run(node, "--since", "1h", "--block", "7m")["edited"] == result["edited"]
    assert run(node, "--since", "1h", "--set", "persist_signals=60")["edited"] == []
    assert client.query(tables).result_rows == before


def test_a_rule_that_signals_goes_through_the_lifecycle_of_the_node(node: Settings, client: Client) -> None:
    fill(client, 2, wide=((2700, 12), (2615, 12), (300, 30)))  # the second of them 73 s after the first

    result = run(node, "--since", "1h", rule=SIGNALS)
    assert len(started(result["live"])) == 1  # older events raise nothing: max_age_s
    assert len(started(result["edited"])) == 3
    assert set(started(result["live"])) < set(started(result["edited"]))
    assert [a["status"] for a in result["edited"]].count("resolved") == 3
    assert run(node, "--since", "1h", "--block", "7m", rule=SIGNALS)["edited"] == result["edited"]
    assert run(node, "--since", "1h", "--set", "min_value=60", rule=SIGNALS)["edited"] == []


def test_a_new_rule_finds_something_as_soon_as_it_is_switched_on(
    node: Settings, client: Client, tmp_path: Path
) -> None:
    own = tmp_path / "project"
    for part in ("migrations", "views"):
        shutil.copytree(node.project_dir / part, own / part)
    shutil.copytree(PROJECT_DIR / "templates", own / "templates")
    node = node.model_copy(update={"project_dir": own})
    view, _ = new_rule(own, "any_second", "liquidity_moments")
    migrate(node)
    client.command("SYSTEM RELOAD DICTIONARY alert_thresholds")
    fill(client, 1)

    rule = str(view.relative_to(own))
    assert run(node, "--since", "30m", rule=rule)["edited"] == []
    lasting = run(node, "--since", "30m", "--set", "enabled=1", "--set", "threshold=0", rule=rule)["edited"]
    assert [(a["status"], a["entity"]) for a in lasting] == [("firing", "test:BTCUSDT")]


def test_a_rule_that_writes_alerts_itself_needs_no_lifecycle(node: Settings, client: Client, tmp_path: Path) -> None:
    own = tmp_path / "project"
    for part in ("migrations", "views"):
        shutil.copytree(node.project_dir / part, own / part)
    node = node.model_copy(update={"project_dir": own})
    rule = "views/alerts/alert_bare_mv.sql"
    (own / rule).write_text(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS alert_bare_mv TO alerts AS"
        " SELECT 'bare' AS rule, 'firing' AS status, concat(venue, ':', symbol) AS entity,"
        " toString(second) AS alert_id, second AS started_time, second AS event_time"
        " FROM liquidity_moments WHERE toSecond(second) = 0;\n"
    )
    migrate(node)
    fill(client, 1)
    found = run(node, "--since", "30m", rule=rule)
    assert len(started(found["edited"])) >= 29  # one a minute
    assert found["edited"] == found["live"]


def test_where_a_file_makes_several_rules_a_parameter_names_its_own(node: Settings) -> None:
    unclear = command(node, SEVERAL, "--since", "1h", "--set", "min_value=1")
    assert unclear.returncode == 1
    assert "min_value is a parameter of several rules here: write aggressive_cancels.min_value=" in unclear.stderr
    assert run(node, "--since", "1h", "--set", "order_velocity.min_value=1", rule=SEVERAL)["edited"] == []


def test_the_terminal_shows_both_time_lines_and_what_only_one_fired() -> None:
    """An hour in sixty cells: one alert that both fired at minute 30 for five minutes, one of the edited rule alone."""
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def alert(number: int, minute: int, status: str, at: int) -> Alert:
        moments = [f"2026-03-01 12:{m:02}:00.000" for m in (minute, at)]
        return Alert(f"id{number}", "liquidity_drop", status, "test:BTC", *moments, 1.0, 2.0, 3.0, f"alert {number}")

    both = [alert(1, 30, "firing", 30), alert(1, 30, "resolved", 35)]
    mine = [alert(2, 10, "firing", 10), alert(2, 10, "resolved", 10)]
    result = Backtest("liquidity_drop", since, since + timedelta(hours=1), both, mine + both, 1234, 0.5, {"drop": 0.7})
    assert show(result, width=60).splitlines() == [
        "liquidity_drop: 2026-03-01 12:00 to 2026-03-01 13:00 UTC, 1,234 rows, 0.5 s, drop=0.7",
        "test:BTC",
        "  live   " + "·" * 30 + "█" * 6 + "·" * 24 + " 1",
        "  edited " + "·" * 10 + "█" + "·" * 19 + "█" * 6 + "·" * 24 + " 2",
        "only live: 0",
        "only edited: 1",
        "  2026-03-01 12:10:00.000 alert 2",
        "both: 1",
        "  2026-03-01 12:30:00.000 alert 1",
    ]


def test_where_a_file_makes_several_rules_a_line_says_which() -> None:
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    moment = "2026-03-01 12:30:00.000"
    fired = [
        Alert(f"id {rule}", rule, "firing", "user:7@test:BTC", moment, moment, 1.0, 2.0, 3.0, "too many")
        for rule in ("order_velocity", "layering")
    ]
    result = Backtest("orders", since, since + timedelta(hours=1), [], fired, 1234, 0.5)
    assert names(result) == ["user:7@test:BTC layering", "user:7@test:BTC order_velocity"]


def test_the_wall_clock_becomes_the_clock_of_the_block() -> None:
    text = clocked("SELECT now() - 1, now64(3), 'now()', nowhere FROM t")
    assert text.count("backtest_clock") == 2
    assert "'now()', nowhere" in text


def test_a_block_is_a_hundredth_of_the_window_where_what_is_usual_moves() -> None:
    given = [timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)]
    assert [moving_block(window).total_seconds() for window in given] == [10, 36, 864]


def test_a_duration_that_is_none_says_how_to_write_one() -> None:
    assert duration("90m").total_seconds() == 5400
    with pytest.raises(MigrateError, match="write 30s, 90m, 24h or 7d"):
        duration("soon")
