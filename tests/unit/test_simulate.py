"""The simulated venue: the same by seed, hard where real markets are hard, and as the contracts want it."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from chctl.contracts import load
from chctl.settings import PROJECT_DIR
from chctl.simulate.produce import messages
from chctl.simulate.venue import ACCOUNT_KINDS, ACTIONS, BOOK_KINDS, CANCEL, NEW, Market, simulate

START = 1_790_000_000_000


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(3, 8)


def test_a_seed_is_a_market(market: Market) -> None:
    again, other = simulate(3, 8), simulate(4, 8)
    for name, column in market.actions.items():
        assert np.array_equal(column, again.actions[name])
    assert market.labels == again.labels
    assert len(other.actions["time"]) != len(market.actions["time"])


def test_every_kind_has_its_offenders_among_two_hundred_ordinary_accounts(market: Market) -> None:
    kinds = Counter((label.kind, label.strength) for label in market.labels)
    assert {kind for kind, _ in kinds} == {*ACCOUNT_KINDS, *BOOK_KINDS}
    assert all(kinds[kind, strength] == 1 for kind in ACCOUNT_KINDS for strength in ("strong", "moderate", "weak"))
    guilty = {label.entity for label in market.labels}
    assert sum(str(user) not in guilty for user in market.tiers) >= 200


def test_ordinary_market_makers_cancel_nearly_everything(market: Market) -> None:
    guilty = {label.entity for label in market.labels}
    makers = [user for user, tier in market.tiers.items() if tier == "market_maker" and str(user) not in guilty]
    mine = np.isin(market.actions["user"], makers)
    placed, cancelled = ((mine & (market.actions["action"] == action)).sum() for action in (NEW, CANCEL))
    assert cancelled / placed > 0.94


def test_the_network_delays_reorders_and_repeats(market: Market) -> None:
    actions = market.actions
    assert (np.diff(actions["arrival"]) >= 0).all()
    assert (np.diff(actions["time"]) < 0).any()
    assert (actions["arrival"] - actions["time"] > 1000).any()
    repeated = len(actions["event"]) - len(np.unique(actions["event"]))
    assert 0.005 < repeated / len(actions["event"]) < 0.02


def test_every_row_sent_fits_its_contract(market: Market) -> None:
    contracts = {t: load(PROJECT_DIR / f"contracts/{t}.yaml") for t in ("user_actions", "market_trades", "market_l2")}
    seen: Counter[str] = Counter()
    for number, (_, topic, _, value) in enumerate(messages(market, START)):
        if number % 50 and topic == "user_actions":
            continue
        for line in value.splitlines():
            row = json.loads(line)
            assert contracts[topic].reasons(row) == [], row
            seen[row.get("action", topic)] += 1
    assert (
        {"market_trades", "market_l2", "new", "cancel", "fill"} <= set(seen) <= {*ACTIONS, "market_trades", "market_l2"}
    )
