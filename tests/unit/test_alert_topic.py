"""Messages of the topic `alerts`: rows packed by newlines, tombstones, and what is no alert."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from feeders.alerting.topic import parse

ROW = {
    "alert_id": "a1",
    "rule": "r",
    "severity": "info",
    "status": "firing",
    "entity": "e",
    "started_time": 1,
    "event_time": 2,
    "raised_time": 3,
}


def test_each_row_of_a_packed_message_is_an_alert() -> None:
    rows = [msgspec.json.encode(ROW | {"alert_id": name, "venue": None, "unknown": 1}) for name in ("a1", "a2")]
    alerts, errors = parse(b"\n".join([*rows, b""]))
    assert [alert.alert_id for alert in alerts] == ["a1", "a2"]
    assert errors == []


def test_a_bad_row_costs_only_itself() -> None:
    bad = [b'{"alert_id": "a3"}', msgspec.json.encode(ROW | {"severity": "loud"}), b"}{"]
    alerts, errors = parse(b"\n".join([*bad, msgspec.json.encode(ROW)]))
    assert [alert.alert_id for alert in alerts] == ["a1"]
    assert len(errors) == 3


@given(st.none() | st.binary())
def test_no_bytes_break_the_reader(value: bytes | None) -> None:
    alerts, errors = parse(value)
    assert len(alerts) + len(errors) <= len((value or b"").splitlines())
