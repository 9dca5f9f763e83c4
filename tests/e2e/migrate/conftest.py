"""A project in a temporary folder and a database of its own for every test of the migration commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from chctl.migrate import Options, Report, migrate
from chctl.settings import Settings

_NUMBER = count(1)

SOURCES = """-- Source and target of the example.
CREATE TABLE IF NOT EXISTS src (a UInt64, s String) ENGINE = Null;
CREATE TABLE IF NOT EXISTS tgt (a UInt64, n UInt64) ENGINE = MergeTree ORDER BY a;
"""
TGT_MV = "CREATE MATERIALIZED VIEW IF NOT EXISTS tgt_mv TO tgt AS\nSELECT\n    a,\n    length(s) AS n\nFROM src\n"


@dataclass
class Project:
    """A project folder and the database it is applied to."""

    settings: Settings
    open_client: Callable[[], Client]

    @property
    def dir(self) -> Path:
        return self.settings.project_dir

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file of the project."""
        file = self.dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def migrate(self, **options: Any) -> Report:
        """Run `chctl migrate` on it."""
        return migrate(self.settings, Options(**options), open_client=self.open_client)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on its database."""
        client = self.client()
        try:
            return [tuple(row) for row in client.query(sql).result_rows]
        finally:
            client.close()

    def command(self, sql: str) -> None:
        """Run a statement on its database."""
        client = self.client()
        try:
            client.command(sql)
        finally:
            client.close()

    def client(self) -> Client:
        """An open client on its database."""
        client = self.open_client()
        client.database = self.settings.clickhouse_database
        return client

    def snapshot(self) -> list[tuple[Any, ...]]:
        """Everything that DDL or a write could change: objects, their definitions and their row counts.

        Rows that replace each other are counted once: a merge in the background changes nothing.
        """
        database = self.settings.clickhouse_database
        objects = self.query(
            "SELECT name, uuid, create_table_query, total_rows, startsWith(engine, 'Replacing') FROM system.tables"
            f" WHERE database = '{database}' ORDER BY name"
        )
        return [
            (*shown, self.query(f"SELECT count() FROM {database}.{shown[0]} FINAL") if replaces else rows)
            for *shown, rows, replaces in objects
        ]


@pytest.fixture(scope="session")
def open_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Client]]:
    """Opens clients on one in-process chDB."""
    path = str(tmp_path_factory.mktemp("engine"))
    first = clickhouse_connect.get_client(interface="chdb", path=path)
    yield lambda: clickhouse_connect.get_client(interface="chdb", path=path)
    first.close()


@pytest.fixture
def make_project(tmp_path: Path, open_client: Callable[[], Client]) -> Callable[[], Project]:
    """Makes example projects: two tables and the view between them, not applied yet."""

    def make() -> Project:
        number = next(_NUMBER)
        folder = tmp_path / str(number)
        (folder / "migrations").mkdir(parents=True)
        (folder / "views").mkdir()
        project = Project(Settings(project_dir=folder, clickhouse_database=f"m{number}"), open_client)
        project.write("migrations/0001_create_src_tgt.sql", SOURCES)
        project.write("views/market/tgt_mv.sql", "-- Length of s, one row a row of src.\n" + TGT_MV)
        return project

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    """An example project with a database of its own."""
    return make_project()
