"""Contracts: what `load` refuses and where it points, and what rows a contract accepts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from chctl.contracts import ContractError, encode, load, load_all
from chctl.settings import PROJECT_DIR

CONTRACTS = {contract.topic: contract for contract in load_all(PROJECT_DIR / "contracts")}
TRADES = CONTRACTS["market_trades"]
TEXT = (PROJECT_DIR / "contracts" / "market_trades.yaml").read_text(encoding="utf-8")


def trade(**changes: Any) -> dict[str, Any]:
    return TRADES.examples.valid[0] | changes


def broken(tmp_path: Path, old: str, new: str) -> str:
    """The error for market_trades.yaml with one change."""
    assert TEXT.count(old) >= 1
    path = tmp_path / "market_trades.yaml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        load(path)
    return str(caught.value).removeprefix(f"{path}:")


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


def test_the_topics_of_the_design_the_raw_feed_and_the_heartbeat_have_contracts() -> None:
    assert set(CONTRACTS) == {
        "social_raw",
        "social_processed",
        "market_l2",
        "market_raw",
        "market_trades",
        "user_actions",
        "frontend_events",
        "alerts",
        "heartbeats",
    }
    assert CONTRACTS["social_raw"].partitions == 12
    assert CONTRACTS["social_raw"].retention_ms == 7 * 86_400_000
    assert CONTRACTS["social_processed"].retention_ms == 30 * 86_400_000
    assert "compact" in CONTRACTS["alerts"].cleanup_policy


def test_a_wrong_type_is_reported_at_its_line(tmp_path: Path) -> None:
    message = broken(tmp_path, "type: uint64", "type: uint65")
    assert message.startswith(f"{line_of(TEXT, 'type: uint64')}: ")
    assert "uint65" in message


def test_a_misspelt_key_is_reported(tmp_path: Path) -> None:
    assert "partitons" in broken(tmp_path, "partitions: 6", "partitons: 6")


def test_text_that_is_no_yaml_is_reported_at_its_line(tmp_path: Path) -> None:
    assert re.match(r"\d+: ", broken(tmp_path, "key: [venue, symbol]", "key: [venue, symbol"))


def test_a_key_that_may_be_absent_is_refused(tmp_path: Path) -> None:
    message = broken(tmp_path, "key: [venue, symbol]", "key: [order_id]")
    assert message == f"{line_of(TEXT, 'key: [')}: key order_id is not a required field"


def test_an_example_with_another_reason_than_it_says_is_refused(tmp_path: Path) -> None:
    message = broken(tmp_path, 'reason: "price: missing"', 'reason: "quantity: missing"')
    assert "expected 'quantity: missing', but the row is 'price: missing'" in message


def test_a_valid_example_that_is_not_is_refused(tmp_path: Path) -> None:
    assert "a valid example that is not: price: out of bounds" in broken(tmp_path, "price: 61659.99", "price: -1")


def test_every_reason_of_a_row_is_listed_in_the_order_of_the_contract() -> None:
    row = trade(side="buy", price="1", fee=1)
    del row["venue"]
    assert TRADES.reasons(row) == [
        "venue: missing",
        "price: not a number",
        "side: not one of BUY, SELL",
        "unknown field fee",
    ]


def test_time_is_bounded_by_tomorrow() -> None:
    now = 1_800_000_000_000
    assert TRADES.reasons(trade(event_time=now + 86_400_000, receive_time=now * 1000), now_ms=now) == []
    assert TRADES.reasons(trade(event_time=now + 86_400_001, receive_time=now * 1000), now_ms=now) == [
        "event_time: out of bounds"
    ]


def test_what_json_cannot_hold_is_no_row() -> None:
    for value in (float("nan"), float("inf"), 2**64, "\ud800", {1: 2}, object()):
        assert TRADES.reasons(trade(price=value)) == ["not a JSON object"]


def test_a_field_named_twice_is_refused_with_its_first_value_read() -> None:
    line = encode(trade())[:-1] + ',"price":-5}'
    assert TRADES.line_reasons(line) == ["duplicate field"]


def test_the_key_of_a_message_joins_the_key_fields() -> None:
    assert TRADES.message_key(trade()) == "binance:BTCUSDT"


def test_contracts_check_names_the_lines_that_would_be_rejected() -> None:
    lines = [encode(trade()), encode(trade(price=-1)), "{", encode(trade(side="buy"))]
    checked = CliRunner().invoke(cli.app, ["contracts", "check", "market_trades"], input="\n".join(lines) + "\n")
    assert checked.exit_code == 1
    assert checked.stdout.splitlines() == [
        "2: price: out of bounds",
        "3: not a JSON object",
        "4: side: not one of BUY, SELL",
    ]


def test_contracts_check_is_content_with_valid_rows(tmp_path: Path) -> None:
    rows = tmp_path / "rows.ndjson"
    rows.write_text(encode(trade()) + "\n", encoding="utf-8")
    assert CliRunner().invoke(cli.app, ["contracts", "check", "market_trades", str(rows)]).exit_code == 0


def test_contracts_check_lists_the_topics_when_it_knows_none_of_that_name() -> None:
    checked = CliRunner().invoke(cli.app, ["contracts", "check", "trades"], input="{}")
    assert checked.exit_code == 2
    assert "market_trades" in checked.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"topic: \xff", "1: is not UTF-8: invalid start byte at byte 7"), (b"topic: a\0b", ":1: ")],
    ids=["latin", "zero"],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "t.yaml").write_bytes(content)
    with pytest.raises(ContractError, match=re.escape(f"{tmp_path}/t.yaml") + ".*" + why):
        load(tmp_path / "t.yaml")
