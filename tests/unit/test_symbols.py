"""Symbols by cashtag, pair and alias; ambiguous words held back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders.analysis.symbols import Alias, SymbolFinder
from feeders.analysis.text import text_hash

FINDER = SymbolFinder(
    [
        Alias("BTC", "BTC"),
        Alias("bitcoin", "BTC"),
        Alias("ETH", "ETH"),
        Alias("ether", "ETH"),
        Alias("ethereum", "ETH"),
        Alias("SOL", "SOL", ambiguous=True),
        Alias("solana", "SOL"),
        Alias("NEAR", "NEAR", ambiguous=True),
        Alias("near protocol", "NEAR"),
        Alias("LINK", "LINK", ambiguous=True),
        Alias("1INCH", "1INCH"),
    ]
)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("$btc and $ETH are up", ["BTC", "ETH"]),
        ("BTC/USDT, ETH-PERP and SOLUSDT", ["BTC", "ETH", "SOL"]),
        ("#Bitcoin is back", ["BTC"]),
        ("1INCH/USDT listed", ["1INCH"]),
        ("near protocol ships sharding", ["NEAR"]),
        ("$NEAR", ["NEAR"]),
        ("BTC and NEAR look good", ["BTC", "NEAR"]),
        ("LINK staking is live", ["LINK"]),
        # held back: nothing vouches for the word, or it is not written as a symbol
        ("I am near the link you sent", []),
        ("bitcoin is near the top", ["BTC"]),
        ("NEAR me", []),
        ("CLICK THE LINK FOR MY TOKEN", []),
        # not symbols
        ("paid $100 for $YOLO", []),
        ("together, tether and whether", []),
        ("[URL] [HANDLE]", []),
        ("US$BTC", []),
    ],
)
def test_finds(text: str, symbols: list[str]) -> None:
    assert FINDER.find(text) == symbols


@given(st.text())
def test_any_text_gives_only_known_symbols(text: str) -> None:
    assert set(FINDER.find(text)) <= {"BTC", "ETH", "SOL", "NEAR", "LINK", "1INCH"}


def test_no_aliases_find_nothing() -> None:
    assert SymbolFinder([]).find("$BTC bitcoin") == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("BTC to the MOON!!!!", "btc to the moon!!!", True),
        ("RT [HANDLE]: BTC to the moon [URL]", "BTC  to the moon", True),
        ("RT BTC to the moon [URL]", "BTC  to the moon", True),
        ("moon", "moon?", False),
        ("BTC to 1000", "BTC to 10000", False),
        ("up 5%", "up 50%", False),
    ],
)
def test_near_duplicates_share_a_hash(one: str, other: str, same: bool) -> None:
    assert (text_hash(one) == text_hash(other)) is same
