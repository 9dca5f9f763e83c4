"""clickhouse-migrations on one open client: it runs the versioned files, and each of their statements is recorded."""

from __future__ import annotations

from typing import Any, Protocol

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.connection import ClickhouseConnectConnection

from chctl.bookkeeping import VERSIONS, Book


class Recorder(Protocol):
    """Who runs and records the migrations' statements: `chctl.migrate.Runner`."""

    book: Book

    def migration_statement(self, sql: str) -> bool:
        """Run a statement of a migration; False where it is the library's own."""

    def migrations_recorded(self, versions: list[dict[str, Any]]) -> None:
        """Take note that the library has recorded migrations as applied."""


class Connection(ClickhouseConnectConnection):
    """clickhouse-migrations' connection over a client that stays open, recording the migrations' statements."""

    def __init__(self, client: Client, runner: Recorder | None = None) -> None:
        super().__init__(client)
        self._runner = runner

    def command(self, statement: str, log_statement: str | None = None) -> None:
        if self._runner is None or not self._runner.migration_statement(statement):
            super().command(statement, log_statement)

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        if self._runner is not None:
            self._runner.book.flush()
        super().insert(table, rows)
        if self._runner is not None:
            self._runner.migrations_recorded(rows)

    def __exit__(self, *_: object) -> None:
        pass  # the client is the caller's


class Cluster(ClickhouseCluster):
    """clickhouse-migrations on one open client instead of a new one a step."""

    def __init__(self, client: Client, runner: Recorder | None = None) -> None:
        super().__init__(driver="clickhouse-connect", migrations_table=VERSIONS)
        self._open = Connection(client, runner)

    def connection(self, db_name: str | None = None) -> Connection:  # noqa: ARG002 - the library's signature
        return self._open
