"""`chctl demo`: the whole path, ended by a ledger that must balance. On the recording this is the main job itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from chctl.demo.exchange import SimulatedVenue, incidents, simulate
from chctl.settings import PROJECT_DIR
from feeders.normalizer import normalize
from tests.e2e.market_kit import SPOT


def demo(*arguments: str) -> tuple[int, dict]:
    code, ledger, _ = shown(*arguments)
    return code, ledger


def shown(*arguments: str) -> tuple[int, dict, str]:
    """Exit code, ledger, and what was on the screen of a person without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--json", *arguments],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_recording_with_an_incident_raises_one_alert_and_every_row_is_accounted_for(captures: Path) -> None:
    code, ledger = demo("--capture", str(captures / SPOT), "--speed", "max", "--for", "0", "--incident-at", "120")
    assert (code, ledger["balances"]) == (0, True)
    assert ledger["streams"]["market_trades"]["stored"] == 9757  # the trades in the file
    assert ledger["alerts"] == {
        "raised": 1,
        "delivered": 1,
        "missing": 0,
        "extra": 0,
        "situations": 1,
    }


def test_the_recording_as_it_is_raises_nothing(captures: Path) -> None:
    code, ledger = demo("--capture", str(captures / SPOT), "--speed", "max", "--for", "0")
    assert (code, ledger["alerts"]["raised"]) == (0, 0)


def test_a_short_simulated_market_balances_and_the_mood_of_one_symbol_turns() -> None:
    """The talk about SOL turns after half the time; the lexicon rates it, and the screen tells a symbol by symbol."""
    code, ledger, screen = shown("--for", "40")
    assert (code, ledger["balances"]) == (0, True)
    moods = [
        dict(re.findall(r"(BTC|ETH|SOL) ([+-]\d\.\d\d)", line)) for line in screen.splitlines() if "sentiment" in line
    ]
    last = {symbol: float(mood) for symbol, mood in moods[-1].items()}
    assert last.keys() == {"BTC", "ETH", "SOL"}
    assert last["SOL"] < -0.2 < min(last["BTC"], last["ETH"])
    assert max(float(mood["SOL"]) for mood in moods if "SOL" in mood) > 0


def test_the_simulated_market_is_sound() -> None:
    """Gapless, never crossed, each trade at the touch and no larger than what was shown there; the same by seed."""
    events = list(simulate(50, incidents(50), seed=7))
    assert events == list(simulate(50, incidents(50), seed=7))
    rows = [(row.topic, json.loads(row.value)) for row in normalize(events, SimulatedVenue())]
    assert {row["update_type"] for topic, row in rows if topic == "market_l2"} == {"snapshot", "delta"}
    books = {(row["symbol"], row["window_start"]): row for topic, row in rows if topic == "market_l2"}
    trades = 0
    for row in (row for topic, row in rows if topic == "market_trades"):
        # A taker sees the book that the diff before showed; a window that changed nothing on top is not published.
        book = books.get((row["symbol"], row["event_time"] - 100))
        if book is None:
            continue
        trades += 1
        side = "ask" if row["side"] == "BUY" else "bid"
        assert round(row["price"] * 10 ** book["price_scale"]) == book[f"{side}_ticks"][0]
        assert round(row["quantity"] * 10 ** book["size_scale"]) <= book[f"{side}_lots"][0]
    assert trades > 300


def test_help_names_the_run_on_a_recording() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--help"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"--capture .*--speed\s+max", text)
