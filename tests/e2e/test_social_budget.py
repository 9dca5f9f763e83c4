"""One budget for the group on all hosts: every process has a ledger of its own here, as on hosts of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from chctl.settings import PROJECT_DIR, Settings
from feeders.analysis.group_budget import GroupBudget
from feeders.analysis.ledger import DAILY_CAP, Ledger, Limits, Refusal, Reservation
from feeders.analysis.model import Question
from feeders.analysis.openai_provider import OpenAIProvider, Options
from tests.openai_server import Server, running

#: Of today, UTC: the table forgets what is older than a month.
NOON = time.time() // 86_400 * 86_400 + 43_200
TABLE = PROJECT_DIR / "migrations" / "0037_create_social_spend.sql"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def spend(client: Client) -> Client:
    """The table of the group's spend, empty."""
    client.command(TABLE.read_text())
    return client


def host(spend: Client, path: Path, limits: Limits, clock: Clock) -> Ledger:
    path.mkdir(exist_ok=True)
    return Ledger(path / "social.sqlite3", limits, clock=clock, group=GroupBudget(lambda: spend, limits))


def reserve(ledger: Ledger, usd: float, tokens: int = 1) -> Reservation | Refusal:
    return asyncio.run(ledger.reserve_for_group(usd, tokens))


def test_processes_of_several_hosts_hold_one_cap(spend: Client, settings: Settings, tmp_path: Path) -> None:
    program = """
import asyncio, sys, time
from pathlib import Path
from chctl.clickhouse import connect
from chctl.settings import Settings
from feeders.analysis.group_budget import GroupBudget
from feeders.analysis.ledger import Ledger, Limits, Reservation
folder, url, database, noon = sys.argv[1:]
limits = Limits(0.2, 0)
client = connect(Settings(clickhouse_url=url, clickhouse_database=database))
group = GroupBudget(lambda: client, limits)
ledger = Ledger(Path(folder) / "social.sqlite3", limits, clock=lambda: float(noon), group=group)
print("ready", flush=True)
sys.stdin.readline()  # both at once
granted = 0
for _ in range(25):
    outcome = asyncio.run(ledger.reserve_for_group(0.01, 1))
    granted += isinstance(outcome, Reservation)
print(granted)
"""
    processes = []
    for name in ("one", "two"):
        (folder := tmp_path / name).mkdir()
        command = [sys.executable, "-c", program, str(folder), settings.clickhouse_url, settings.clickhouse_database]
        command.append(str(NOON))
        processes.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT_DIR)
        )
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    granted = [int(process.communicate(timeout=100)[0]) for process in processes]
    # Never more than the cap; at its very end two that ask at once may both be refused.
    assert 19 <= sum(granted) <= 20
    assert spend.query("SELECT round(sum(usd), 6) FROM social_spend FINAL").result_rows == [(sum(granted) / 100,)]


def test_what_a_request_came_to_is_free_for_the_other_host(spend: Client, tmp_path: Path) -> None:
    clock, limits = Clock(), Limits(1.0, 0)
    one, two = host(spend, tmp_path / "one", limits, clock), host(spend, tmp_path / "two", limits, clock)
    reservation = reserve(one, 0.9)
    assert isinstance(reservation, Reservation)
    assert reserve(two, 0.2) == Refusal(DAILY_CAP, None)
    one.settle(reservation, 0.1, 1)
    one.close()
    assert isinstance(reserve(two, 0.2), Reservation)
    assert two.spent_usd() == pytest.approx(0.3)
    assert two.spent()[0] == pytest.approx(0.2)  # of this host
    assert two.affordable() == (pytest.approx(0.7), None)
    clock.now += 86_400
    assert isinstance(reserve(two, 1.0), Reservation)


def test_tokens_of_a_minute_are_the_groups(spend: Client, tmp_path: Path) -> None:
    clock, limits = Clock(), Limits(1.0, 1000)
    one, two = host(spend, tmp_path / "one", limits, clock), host(spend, tmp_path / "two", limits, clock)
    assert isinstance(reserve(one, 0.0, 800), Reservation)
    clock.now += 20
    assert reserve(two, 0.0, 300) == Refusal("tokens per minute", pytest.approx(40.0))
    assert two.affordable()[1] == 200
    clock.now += 41
    assert isinstance(reserve(two, 0.0, 300), Reservation)


def test_a_refused_request_counts_for_nobody(spend: Client, tmp_path: Path) -> None:
    ledger = host(spend, tmp_path / "one", Limits(1.0, 0), Clock())
    assert isinstance(reserve(ledger, 1.5), Refusal)
    assert isinstance(reserve(ledger, 1.0), Reservation)


def test_while_the_node_is_away_nothing_is_asked_and_then_it_goes_on(spend: Client, tmp_path: Path) -> None:
    down = [True]

    def client() -> Client:
        if down[0]:
            raise Error("connection refused")
        return spend

    limits = Limits(1.0, 0)
    ledger = Ledger(tmp_path / "social.sqlite3", limits, group=GroupBudget(client, limits))
    with running(Server()) as server:
        provider = OpenAIProvider(
            openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0), ledger, Options(first_backoff=0.01)
        )

        async def rate() -> int:
            task = asyncio.create_task(provider.rate([Question(1, "good coin", 3)]))
            await asyncio.sleep(0.5)
            assert not server.requests
            assert not task.done()
            down[0] = False
            return len((await task).answers)

        assert asyncio.run(rate()) == 1
    ledger.close()
    (row,) = spend.query("SELECT count(), sum(usd) FROM social_spend FINAL WHERE usd > 0").result_rows
    assert row == (1, pytest.approx(ledger_spent(tmp_path)))


def ledger_spent(path: Path) -> float:
    return Ledger(path / "social.sqlite3", Limits(1.0, 0)).spent()[0]
