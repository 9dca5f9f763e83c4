"""The project's SQL in-process, without Kafka: rows go into the landing tables, alerts come out of `alerts`.

One chDB engine a process (chDB allows no second path), so whoever needs a fresh one starts a process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from chdb.session import Session

from chctl.optional import refusal
from chctl.project import relays
from chctl.settings import PROJECT_DIR
from chctl.sqltext import parse_object, statements
from chctl.views import apply_order, load_views

DATABASE = "chctl"


class Engine:
    """A fresh database with every table and view of the project but the Kafka tables and what reads or writes them."""

    def __init__(self, *project_dirs: Path) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.session = Session(self._folder.name)
        self.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        self.run(f"USE {DATABASE}")
        for sql in schema(project_dirs or (PROJECT_DIR,)):
            self.run(sql)

    def run(self, sql: str) -> None:
        """Execute one statement."""
        self.session.query(sql, "Null")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query as dictionaries."""
        answer = self.session.query(sql, "ArrowTable")
        return answer.to_pylist() if answer is not None else []

    def threshold(self, rule: str, parameter: str, value: float, scope: str = "*") -> None:
        """Set a parameter of a rule, in force at once."""
        row = f"('{rule}', '{scope}', '{parameter}', {value})"
        self.run(f"INSERT INTO alert_rules (rule, scope, parameter, value) VALUES {row}")
        self.run("SYSTEM RELOAD DICTIONARY alert_thresholds")

    def reload(self) -> None:
        """Read the baselines anew, as the node does every few seconds."""
        for dictionary in ("order_usual", "peer_usual"):
            self.run(f"SYSTEM RELOAD DICTIONARY {dictionary}")

    def insert(self, table: str, rows: pa.Table) -> None:
        """Insert an Arrow table as one block, on one thread as a Kafka table does: views run in one order."""
        arrow_rows = rows  # the name that chDB finds in this frame
        columns = ", ".join(rows.column_names)
        self.run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM Python(arrow_rows) SETTINGS max_threads = 1")
        del arrow_rows

    def close(self) -> None:
        """Drop the engine and its folder."""
        self.session.close()
        self._folder.cleanup()


def schema(project_dirs: Iterable[Path]) -> list[str]:
    """The statements of migrations/ and views/ that need no Kafka, in the order they apply."""
    found: list[str] = []
    passed_on: dict[str, str] = {}
    views = []
    files: list[Path] = []
    for directory in project_dirs:
        files += (directory / "migrations").glob("*.sql")
        views += load_views(directory)
    for path in sorted(files, key=lambda p: p.name):
        # What an engine may refuse is no table that a row passes through.
        known = [s for s in statements(path.read_text()) if not refusal(s)]
        found += [s.sql for s in known if "ENGINE = Kafka" not in s.sql]
        passed_on |= relays(known)
    left_out: set[str] = set()
    for view in apply_order(views, passed_on):
        definition = parse_object(view.definition.sql)
        names = {definition.target or "", *definition.reads}
        if names & left_out or any(name.startswith(("kafka_", "to_kafka_")) for name in names):
            left_out.add(definition.name)
        else:
            found.append(view.definition.sql)
    return found
