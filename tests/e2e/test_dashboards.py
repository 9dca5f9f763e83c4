"""Every panel of every dashboard on a node with data: as Grafana asks, as the page asks, within a budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.query import QueryResult
from typer.testing import CliRunner

from chctl.clickhouse import connect
from chctl.dashboards import check
from chctl.dashboards.macros import Moment
from chctl.dashboards.model import Dashboard, Panel, load_all
from chctl.settings import PROJECT_DIR, Settings
from cli import app
from tests.watched import BROKEN_TRADES, OLD_ROWS

pytestmark = pytest.mark.timeout(300)  # the first test waits for the node to be filled

DASHBOARDS = load_all(PROJECT_DIR / "dashboards")
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
#: Rows and bytes that a panel may read: all that the quarter of an hour holds, and not the days behind it.
MAX_ROWS, MAX_BYTES = OLD_ROWS, 30_000_000
#: What changes from question to question, whoever asks.
OF_THE_MOMENT = {"disk_free", "disks", "consumers", "last_poll", "merges", "tables", "most_parts", "open_alerts"}


@pytest.fixture(scope="module")
def client(watched_node: Settings) -> Iterator[Client]:
    with connect(watched_node) as opened:
        yield opened


@pytest.fixture(scope="module")
def now(client: Client) -> Moment:
    """The quarter of an hour that ends with the last book, on the simulated venue's first book."""
    end = client.query("SELECT toUnixTimestamp(max(second)) FROM dash_books AS b, dash_liquidity").result_rows[0][0]
    return check.moment(900, end * 1000 + 1000, venue="simulated", symbol="SIMBTC")


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=[f"{d.uid}-{p.id}" for d, p in PANELS])
def test_a_panel_shows_rows_of_its_shape_within_the_budget(
    client: Client, now: Moment, dashboard: Dashboard, panel: Panel
) -> None:
    chosen = check.choose(client, dashboard.variables, now)
    result = check.as_grafana(client, panel.sql, chosen)
    assert check.misshapen(panel, result) == ""
    assert int(result.summary["read_rows"]) < MAX_ROWS
    assert int(result.summary["read_bytes"]) < MAX_BYTES
    if not panel.may_be_empty:
        assert result.row_count > 0
        assert any(value is not None for value in result.result_rows[0])
    same = check.as_the_page(client, panel.sql, chosen)
    assert same.column_names == result.column_names
    if panel.id not in OF_THE_MOMENT and not {"duration_s", "median_s"} & panel.columns.keys():
        for _ in range(5):  # an alert may be raised or end between the two questions
            if _rounded(same) == _rounded(result):
                break
            result, same = check.as_grafana(client, panel.sql, chosen), check.as_the_page(client, panel.sql, chosen)
        assert _rounded(same) == _rounded(result)


def _rounded(result: QueryResult) -> list[list[object]]:
    """Sums of floats depend on the order of threads in their last digits."""
    return [[round(v, 6) if isinstance(v, float) else v for v in row] for row in result.result_rows]


def _rows(client: Client, uid: str, panel_id: str, at: Moment) -> list[dict[str, object]]:
    dashboard = next(one for one in DASHBOARDS if one.uid == uid)
    panel = next(one for one in dashboard.panels if one.id == panel_id)
    result = check.as_the_page(client, panel.sql, check.choose(client, dashboard.variables, at))
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def test_the_panels_tell_what_happened(client: Client, now: Moment) -> None:
    rejected = {(row["topic"], row["reason"]): row["events"] for row in _rows(client, "pipeline", "rejects", now)}
    assert rejected["market_trades", "price: missing"] == BROKEN_TRADES
    books = {(row["venue"], row["symbol"]) for row in _rows(client, "liquidity", "books", now)}
    assert {("simulated", "SIMBTC"), ("simulated", "SIMETH"), ("simulated", "SIMSOL"), ("sim", "BTCUSDT")} <= books
    depth = [row["bids"] for row in _rows(client, "liquidity", "depth", now)]
    assert min(depth) < 0.2 * sorted(depth)[len(depth) // 2], "bids were pulled"
    rules = {row["rule"] for row in _rows(client, "alerts", "rules", now)}
    assert {"liquidity_drop", "self_trade", "order_to_trade"} <= rules
    channels = {(row["channel"], row["outcome"]) for row in _rows(client, "alerts", "channels", now)}
    assert {("webhook", "delivered"), ("webhook", "retry"), ("pager", "failed")} <= channels
    cells = _rows(client, "liquidity", "depth_map", now)
    assert 10 < len({row["price"] for row in cells}) <= 90
    ladder = _rows(client, "liquidity", "ladder", now)
    bids = [float(str(row["price"])) for row in ladder if row["side"] == "bid"]
    asks = [float(str(row["price"])) for row in ladder if row["side"] == "ask"]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


def test_an_account_narrows_the_orders(client: Client, now: Moment) -> None:
    most = _rows(client, "orders", "top_accounts", now)[0]
    one = Moment(now.from_ms, now.to_ms, now.step_s, {"account": str(most["user_id"])})
    assert [row["user_id"] for row in _rows(client, "orders", "top_accounts", one)] == [most["user_id"]]
    assert _rows(client, "orders", "active_accounts", one) == [{"accounts": 1}]
    nobody = Moment(now.from_ms, now.to_ms, now.step_s, {"account": "0' OR 1 = 1 OR ''='"})
    assert _rows(client, "orders", "active_accounts", nobody) == [{"accounts": 0}]
    dashboard = next(one for one in DASHBOARDS if one.uid == "orders")
    panel = next(panel for panel in dashboard.panels if panel.id == "active_accounts")
    assert check.as_grafana(client, panel.sql, nobody).result_rows == [(0,)]


def test_the_command_asks_for_everything(watched_node: Settings) -> None:
    environment = os.environ | {"CHCTL_CLICKHOUSE_URL": watched_node.clickhouse_url}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "dashboards", "check", "--minutes", "60", "--json"],
        cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [answer["panel"] for answer in json.loads(done.stdout)] == [panel.id for _, panel in PANELS]
    gone = CliRunner().invoke(app, ["dashboards", "render", "--check"])
    assert gone.exit_code == 0, gone.output
