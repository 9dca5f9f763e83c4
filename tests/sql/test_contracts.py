"""The SQL of every ingest family says what its contract says, row for row and reason for reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chctl.contracts import Contract, Field, encode, load_all
from chctl.settings import PROJECT_DIR
from tests.sql.pipeline import Pipeline

#: The topics that the node reads.
CONTRACTS = [contract for contract in load_all(PROJECT_DIR / "contracts") if contract.consumers.clickhouse]
every_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.topic)


@pytest.fixture(scope="module")
def seen(whole_pipeline: Pipeline) -> Pipeline:
    """The pipeline with a table of what each landing table got, valid or not."""
    for contract in CONTRACTS:
        topic = contract.topic
        whole_pipeline.engine.query(f"CREATE TABLE seen_{topic} ENGINE = Memory AS {topic}_landing")
        whole_pipeline.engine.query(
            f"CREATE MATERIALIZED VIEW seen_{topic}_mv TO seen_{topic} AS SELECT * FROM {topic}_landing"
        )
    return whole_pipeline


def sql_reasons(seen: Pipeline, contract: Contract, lines: list[str]) -> list[str]:
    """reject_reason of each line, one message a line, in one block."""
    topic = contract.topic
    seen.engine.query(f"TRUNCATE TABLE seen_{topic}")
    seen.insert(f"kafka_{topic}", [{"raw": line, "_topic": topic, "_offset": i} for i, line in enumerate(lines)])
    rows = seen.engine.rows(f"SELECT offset, reject_reason FROM seen_{topic} ORDER BY offset")
    assert [row["offset"] for row in rows] == list(range(len(lines)))
    return [row["reject_reason"] for row in rows]


@every_contract
def test_each_invalid_example_is_rejected_with_its_reason_and_nothing_else_is(
    seen: Pipeline, contract: Contract
) -> None:
    seen.reset()
    valid = [encode(row) for row in contract.examples.valid]
    lines = valid + [example.line for example in contract.examples.invalid]

    assert sql_reasons(seen, contract, lines) == [""] * len(valid) + [e.reason for e in contract.examples.invalid]

    kept = seen.engine.rows("SELECT topic, offset, reason, raw FROM rejected_events FINAL ORDER BY offset")
    assert [(row["topic"], row["offset"], row["reason"]) for row in kept] == [
        (contract.topic, len(valid) + i, example.reason) for i, example in enumerate(contract.examples.invalid)
    ]
    for row, example in zip(kept, contract.examples.invalid, strict=True):
        assert row["raw"].startswith("sha256:") if contract.personal else row["raw"] == example.line


@every_contract
def test_each_valid_example_lands_with_its_values(seen: Pipeline, contract: Contract) -> None:
    sql_reasons(seen, contract, [encode(row) for row in contract.examples.valid])
    columns = ", ".join(
        f"toUnixTimestamp64{'Milli' if field.type == 'timestamp_ms' else 'Micro'}({field.name}) AS {field.name}"
        if field.type.startswith("timestamp")
        else field.name
        for field in contract.fields
    )
    landed = seen.engine.rows(f"SELECT {columns} FROM seen_{contract.topic} ORDER BY offset")
    for row, example in zip(landed, contract.examples.valid, strict=True):
        for field in contract.fields:
            absent = [] if field.item else field.default
            given_value = example.get(field.name)
            expected = absent if given_value is None else given_value
            assert row[field.name] == pytest.approx(expected) if _is_float(field) else row[field.name] == expected


def _is_float(field: Field) -> bool:
    return "float" in field.type


# --- rows of any shape ------------------------------------------------------------------------------------------------

INTS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([-1, 0, 1, 2**8, 2**16, 2**32, 10**18 - 1, 10**18, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(1_230_767_999_990, 1_230_768_000_010),
    st.integers(1_700_000_000_000, 1_700_000_000_100),
    st.integers(1_700_000_000_000_000, 1_700_000_000_000_100),
)
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 5.5, 1e12, 1.0000001e12, 1e15, 1e300, 5e-324]),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["true", "false", "null", "5", "-1", "[1]", '{"a":1}', '"', "\\", "a" * 33, "é" * 17, "BUY", "gap"]
    ),
)
ODD_VALUES = ["5", "x", 5.5, True, [1], ["a"], {"a": 1}, 2**64 - 1, -1]
SCALARS = st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXTS)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.lists(INTS, max_size=3),
    st.dictionaries(TEXTS, SCALARS, max_size=2),
    st.lists(st.lists(INTS, max_size=1), max_size=2),
)


@st.composite
def rows(draw: st.DrawFn, contract: Contract) -> dict[str, Any]:
    """A valid example with a few fields left out, replaced by anything, or added."""
    row = dict(draw(st.sampled_from(contract.examples.valid)))
    for field in draw(st.lists(st.sampled_from(contract.fields), max_size=2)):
        if draw(st.booleans()) or not field.enum:
            row[field.name] = draw(VALUES)
        else:
            row[field.name] = draw(st.sampled_from(field.enum))
    for field in draw(st.lists(st.sampled_from(contract.fields), max_size=1)):
        row.pop(field.name, None)
    if draw(st.integers(0, 9)) == 0:
        row[draw(TEXTS)] = draw(VALUES)
    order = draw(st.booleans())
    return dict(reversed(row.items())) if order else row


@st.composite
def lines(draw: st.DrawFn, contract: Contract) -> str:
    """A row as text: compact, spaced, escaped, cut off, or something else altogether."""
    row = draw(rows(contract))
    form = draw(st.integers(0, 9))
    if form < 5:
        return encode(row)
    if form < 7:
        return json.dumps(row, separators=(" , ", " : "), allow_nan=False)
    if form == 7:
        text = encode(row)
        return text[: draw(st.integers(0, len(text)))]
    if form == 8:
        return encode(row)[:-1] + "," + encode(draw(rows(contract)))[1:]
    return json.dumps(draw(VALUES), allow_nan=False)


@every_contract
def test_a_bad_row_changes_nothing_about_the_rows_of_its_block(seen: Pipeline, contract: Contract) -> None:
    """ClickHouse's Dynamic gave a value the type of an earlier row's: a bad row had good ones after it rejected."""
    valid = [encode(row) for row in contract.examples.valid]
    bad = [
        encode(contract.examples.valid[0] | {field.name: value}) for field in contract.fields for value in ODD_VALUES
    ]
    batch = [line for pair in zip(bad, valid * len(bad), strict=False) for line in pair]
    assert set(sql_reasons(seen, contract, batch)[1::2]) == {""}


@every_contract
def test_sql_and_python_give_the_same_reason_for_any_row(seen: Pipeline, contract: Contract) -> None:
    # One block holds many rows: the engine analyses a view once a block, which costs more than the rows.
    @settings(
        max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate]
    )
    @given(st.lists(lines(contract), min_size=30, max_size=50))
    def same(batch: list[str]) -> None:
        batch = [line for line in batch if "\n" not in line]
        found = sql_reasons(seen, contract, batch)
        wanted = [next(iter(contract.line_reasons(line)), "") for line in batch]
        wrong = [(line, f, w) for line, f, w in zip(batch, found, wanted, strict=True) if f != w]
        assert not wrong, wrong[0]

    same()
