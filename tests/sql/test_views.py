"""Every folder of tests/sql gives rows to the pipeline and says which rows come out; see README.md."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.sql.pipeline import Pipeline, blocks, dated

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/**/given.ndjson"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.relative_to(HERE).as_posix())
def test_given_rows_become_the_expected_rows(pipeline: Pipeline, case: Path) -> None:
    now_ms = int(time.time() * 1000)
    pipeline.give(blocks(case / "given.ndjson"), now_ms)

    expected: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for line in (line for block in blocks(case / "expect.ndjson") for line in block):
        source = line.get("table") or f"({line['query']})"
        if line.get("empty"):
            expected[source, ("1",)] = []
        else:
            row = dated(line["row"], now_ms)
            expected.setdefault((source, tuple(row)), []).append(row)
    assert expected, f"{case}/expect.ndjson expects nothing"

    for (source, columns), rows in expected.items():
        if source.startswith("("):
            found = pipeline.engine.rows(f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM {source}")
        elif columns == ("1",):
            found = pipeline.engine.rows(f"SELECT * FROM {source}")
        else:
            found = pipeline.select(source, list(columns))
        assert sorted(map(repr, map(_plain, found))) == sorted(map(repr, map(_plain, rows))), source


def _plain(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """Equal rows have equal text: floats are compared to 12 digits, whole floats equal integers."""

    def number(value: Any) -> Any:
        if isinstance(value, float):
            rounded = float(f"{value:.12g}")
            return int(rounded) if rounded.is_integer() else rounded
        return [number(item) for item in value] if isinstance(value, list) else value

    return sorted((name, number(value)) for name, value in row.items())
