"""What the node holds now, read in a few queries: objects, columns, applied files and migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.schema_dump import quote_string

from chctl.changes import Live
from chctl.clickhouse import connect
from chctl.settings import Settings


@contextmanager
def opened(settings: Settings, open_client: Callable[[], Client] | None = None) -> Iterator[Client]:
    """A client on the database of the settings, or on none while that does not exist yet; closed at the end."""
    client = open_client() if open_client else connect(settings, database="")
    try:
        if database_exists(client, settings.clickhouse_database):
            client.database = settings.clickhouse_database
        yield client
    finally:
        client.close()


def database_exists(client: Client, database: str) -> bool:
    """Whether the node has the database."""
    sql = f"SELECT count() FROM system.databases WHERE name = {quote_string(database)}"
    return bool(client.query(sql).result_rows[0][0])


def names_in(names: Iterable[str]) -> str:
    """A SQL tuple of string literals; never empty, as ClickHouse does not take `IN ()`."""
    return "(" + ", ".join(quote_string(n) for n in ["", *sorted(names)]) + ")"


def object_names(client: Client, database: str) -> set[str]:
    """Every table, view and dictionary of the database."""
    sql = f"SELECT name FROM system.tables WHERE database = {quote_string(database)}"
    return {row[0] for row in client.query(sql).result_rows}


def live_objects(client: Client, database: str, names: Iterable[str] | None = None) -> dict[str, Live]:
    """Objects by name with the definition that the node shows; `names` None takes all."""
    only = "" if names is None else f" AND name IN {names_in(names)}"
    sql = (
        "SELECT name, engine, create_table_query, total_rows FROM system.tables"
        f" WHERE database = {quote_string(database)}{only}"
    )
    return {row[0]: Live(*row) for row in client.query(sql).result_rows}


def table_columns(client: Client, database: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Table -> column -> type, in the order of the table."""
    sql = (
        "SELECT table, name, type FROM system.columns"
        f" WHERE database = {quote_string(database)} AND table IN {names_in(names)} ORDER BY table, position"
    )
    found: dict[str, dict[str, str]] = {}
    for table, name, type_ in client.query(sql).result_rows:
        found.setdefault(table, {})[name] = type_
    return found


def describe(client: Client, query: str, *, later: bool = False) -> dict[str, str]:
    """Name -> type of a SELECT's columns.

    With `later`, what is missing now is forgiven with {}: a pending migration may add it.
    """
    try:
        return {row[0]: row[1] for row in client.query(f"DESCRIBE TABLE ({query})").result_rows}
    except ClickHouseError as error:
        if later and any(code in str(error) for code in ("UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER", "BAD_ARGUMENTS")):
            return {}
        raise
