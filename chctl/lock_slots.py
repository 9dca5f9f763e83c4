"""Where the schema lock stands. The text that a slot keeps names the holder; only the lock itself reads it.

- TableSlot, without Keeper: `CREATE TABLE schema_lock` is atomic on a server, so who creates it holds the lock. Its
  comment is the holder and cannot be written apart from taking the lock; its row is the heartbeat.
- KeeperSlot, where the server has Keeper and a `keeper_map_path_prefix`: one row of a KeeperMap table, which all
  servers of a cluster see. In strict mode each UPDATE names the version that it read, so that of two runs one fails.
  The row is never deleted: its version only grows.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.schema_dump import quote_string

from chctl.bookkeeping import KEEPER_LOCK, LOCK


class Slot(Protocol):
    """A place that one holder at a time can have."""

    def take(self, client: Client, holder: str) -> bool:
        """Take the place where it is free; whether that worked."""

    def holder(self, client: Client) -> str:
        """The holder now, or ''."""

    def look(self, client: Client) -> tuple[str, float] | None:
        """The holder and the seconds since its last sign of life, or None where the place is free."""

    def beat(self, client: Client, holder: str) -> None:
        """Give a sign of life."""

    def bury(self, client: Client, dead: str) -> None:
        """Free the place of a dead holder, unless another run did so first."""

    def free(self, client: Client, holder: str) -> None:
        """Give the place back."""


def make_slot(client: Client, database: str) -> Slot:
    """The slot of the database, made where it is missing: in Keeper if the server has one."""
    keeper = KeeperSlot(database)
    return keeper if keeper.make(client) else TableSlot(database)


def find_slot(client: Client, database: str) -> Slot:
    """The slot of the database; makes nothing."""
    sql = f"SELECT count() FROM system.tables WHERE database = '{database}' AND name = '{KEEPER_LOCK}'"
    return KeeperSlot(database) if client.query(sql).result_rows[0][0] else TableSlot(database)


class TableSlot:
    """The table `schema_lock` of one server, which exists while the lock is held."""

    def __init__(self, database: str) -> None:
        self._database, self._table = database, f"{database}.{LOCK}"

    def take(self, client: Client, holder: str) -> bool:
        comment = quote_string(holder)
        try:
            client.command(f"CREATE TABLE {self._table} (beat DateTime64(3)) ENGINE = Memory COMMENT {comment}")
        except ClickHouseError as error:
            if "already exists" in str(error):
                return False
            raise
        return True

    def holder(self, client: Client) -> str:
        found = client.query(
            f"SELECT comment FROM system.tables WHERE database = '{self._database}' AND name = '{LOCK}'"
        ).result_rows
        return str(found[0][0]) if found else ""

    def look(self, client: Client) -> tuple[str, float] | None:
        found = client.query(
            "SELECT comment, dateDiff('second', metadata_modification_time, now()) FROM system.tables"
            f" WHERE database = '{self._database}' AND name = '{LOCK}'"
        ).result_rows
        if not found:
            return None
        age = float(found[0][1])
        try:
            beats = client.query(f"SELECT dateDiff('millisecond', max(beat), now64(3)) / 1000 FROM {self._table}")
            age = min(age, float(beats.result_rows[0][0]))
        except ClickHouseError:
            pass  # released meanwhile
        return str(found[0][0]), age

    def beat(self, client: Client, holder: str) -> None:  # noqa: ARG002 - the table is the holder's
        client.command(f"TRUNCATE TABLE {self._table}")
        client.command(f"INSERT INTO {self._table} SELECT now64(3)")

    def bury(self, client: Client, dead: str) -> None:
        """Rename the lock to a name that the dead holder gives: of two runs that try, one fails."""
        try:
            client.command(f"RENAME TABLE {self._table} TO {self._table}_{_grave(dead)}")
        except ClickHouseError:
            return  # another run was first: the caller looks again

    def free(self, client: Client, holder: str) -> None:  # noqa: ARG002 - the table is the holder's
        client.command(f"DROP TABLE IF EXISTS {self._table}")
        old = client.query(
            "SELECT name FROM system.tables"
            f" WHERE database = '{self._database}' AND startsWith(name, '{LOCK}_') AND name != '{KEEPER_LOCK}'"
            " AND metadata_modification_time < now() - INTERVAL 1 DAY"
        ).result_rows
        for (name,) in old:
            client.command(f"DROP TABLE IF EXISTS {self._database}.{name}")


def _grave(holder: str) -> str:
    return hashlib.sha256(holder.encode()).hexdigest()[:32]


class KeeperSlot:
    """One row of a KeeperMap table; `holder` is '' while the place is free."""

    def __init__(self, database: str) -> None:
        self._table, self._path = f"{database}.{KEEPER_LOCK}", f"/{database}/{LOCK}"

    def make(self, client: Client) -> bool:
        """Make the table and its row; False where the server has no Keeper for it."""
        try:
            client.command(
                f"CREATE TABLE IF NOT EXISTS {self._table} (name String, holder String, beat DateTime64(3, 'UTC'))"
                f" ENGINE = KeeperMap({quote_string(self._path)}) PRIMARY KEY name"
            )
        except ClickHouseError as error:
            if "keeper_map_path_prefix" in str(error):
                return False
            raise
        self._unless_lost_to_another(client, f"INSERT INTO {self._table} {_STRICT} SELECT 'lock', '', now64(3, 'UTC')")
        return True

    def take(self, client: Client, holder: str) -> bool:
        self._change(client, f"holder = {quote_string(holder)}", "")
        return self.holder(client) == holder

    def holder(self, client: Client) -> str:
        return str(client.query(f"SELECT holder FROM {self._table} WHERE name = 'lock'").result_rows[0][0])

    def look(self, client: Client) -> tuple[str, float] | None:
        ((holder, age),) = client.query(
            f"SELECT holder, dateDiff('millisecond', beat, now64(3)) / 1000 FROM {self._table} WHERE name = 'lock'"
        ).result_rows
        return (str(holder), float(age)) if holder else None

    def beat(self, client: Client, holder: str) -> None:
        self._change(client, f"holder = {quote_string(holder)}", holder)

    def bury(self, client: Client, dead: str) -> None:
        self._change(client, "holder = ''", dead)

    def free(self, client: Client, holder: str) -> None:
        self._change(client, "holder = ''", holder)

    def _change(self, client: Client, change: str, holder: str) -> None:
        """Change the row while it is `holder`'s; its beat is now."""
        self._unless_lost_to_another(
            client,
            f"ALTER TABLE {self._table} UPDATE {change}, beat = now64(3, 'UTC')"
            f" WHERE name = 'lock' AND holder = {quote_string(holder)} {_STRICT}",
        )

    def _unless_lost_to_another(self, client: Client, sql: str) -> None:
        """Run a write; one that another run's write came before changes nothing."""
        try:
            client.command(sql)
        except ClickHouseError as error:
            if not any(text in str(error) for text in ("Node exists", "Bad version")):
                raise


_STRICT = "SETTINGS keeper_map_strict_mode = 1"
