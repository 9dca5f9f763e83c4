"""How reading commands answer: JSON for programs, a table for people; both on stdout."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]

#: A cell that is longer than this and has a space in it is a sentence rather than a name or a time.
PROSE = 24


def select(client: Client, statement: str, **parameters: object) -> list[Row]:
    """The rows of a query as dictionaries."""
    result = client.query(statement, parameters=parameters)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def show(rows: Sequence[Row], *, json: bool, columns: Sequence[str] = (), nothing: str = "nothing") -> None:
    """Print rows: with `json` one JSON array, else a table of `columns` (all of them when none are named)."""
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n")
        return
    if not rows:
        sys.stdout.write(nothing + "\n")
        return
    console = Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in columns or rows[0]:
        values = [row[column] for row in rows]
        cells = [line for value in values for line in text(value).splitlines()]
        # Sentences take the lines they need, so that names, times and numbers stay whole.
        prose = any(len(line) > PROSE and " " in line for line in cells)
        width = max((len(line) for line in cells), default=0)
        words = column.replace("_", " ")
        table.add_column(
            words if prose else "\n".join(textwrap.wrap(words, max(width, 4), break_long_words=False)),
            justify="right" if all(isinstance(value, int | float) for value in values) else "left",
            overflow="fold" if prose else "ellipsis",
            no_wrap=not prose,
            vertical="top",
        )
    for row in rows:
        table.add_row(*(Text(text(row[column])) for column in columns or row))
    console.print(table)


def text(value: object) -> str:
    """One cell."""
    if isinstance(value, datetime):
        return "" if value.timestamp() == 0 else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
