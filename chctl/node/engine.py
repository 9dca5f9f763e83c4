"""chDB opened once: the data folder's lock, connections, cancelling, and what a server does in the background.

One engine path a process; every request gets a connection of its own (0.3 ms), so that its settings, database and
temporary tables end with it. Queries run on the caller's thread and release the GIL.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog

from chctl.node.config import ENGINE_OPTIONS
from chctl.node.errors import ClickHouseError

log = structlog.get_logger()

#: Where chDB's defaults are those of clickhouse-local, the server's instead.
SERVER_SETTINGS = {"implicit_select": "0"}  # else a misspelt keyword is read as a column's name


class FolderLocked(RuntimeError):
    """Another node holds the data folder; the text says which."""


class FolderLock:
    """One writer a data folder: an flock that dies with its process, and who holds it as JSON in the file."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "node.lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 4096)
            os.close(self._descriptor)
            raise FolderLocked(self._describe(data_dir, holder)) from None
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.note("")

    @staticmethod
    def _describe(data_dir: Path, holder: bytes) -> str:
        try:
            known = json.loads(holder)
            who = f"process {known['pid']} since {known['since']}, at {known['url'] or '(still starting)'}"
        except (ValueError, KeyError):
            who = "a node that is just starting"
        return f"{data_dir} is held by {who}: use that node, stop it, or give this one another --data-dir"

    def note(self, url: str) -> None:
        """Say under which URL the holder serves."""
        text = json.dumps({"pid": os.getpid(), "since": self._since, "url": url}).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Let the folder go."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


@dataclass(frozen=True)
class External:
    """A table that comes with a request and goes with it: `structure` as in CREATE TABLE, data in an open file."""

    name: str
    structure: str
    format: str
    descriptor: int


@dataclass(frozen=True)
class Call:
    """One statement for the engine."""

    sql: bytes
    format: str = "TabSeparated"
    database: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    readonly: bool = False
    #: Text that the interface added to the statement: taken out of error messages, and found again to cancel.
    clause: str = ""
    external: tuple[External, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the engine gave: the formatted result, and rows and bytes read (of an insert: written)."""

    data: bytes
    rows: int
    bytes: int


class Engine:
    """The in-process ClickHouse over one data folder; opening it moves the process into that folder."""

    def __init__(self, data_dir: Path, config_file: Path) -> None:
        # chDB reads named collections from `config.xml` in the working directory, whatever config-file says, and
        # notes that directory while it is imported
        os.chdir(config_file.parent)
        import chdb

        path = (data_dir / "clickhouse").resolve()
        options = urlencode({"config-file": str(config_file.resolve()), **ENGINE_OPTIONS}, safe="/")
        self._address = f"{path}?{options}"
        self._open = chdb.connect
        self._keeper = self.connect()  # the engine lives as long as one connection does
        # collections are loaded lazily: without this the first CREATE ... ENGINE = Kafka(chctl_kafka) fails
        self._keeper.query("SELECT name FROM system.named_collections")
        self.version, self.timezone = str(self._keeper.query("SELECT version(), timezone()", "TSVRaw")).split()
        self._closing = threading.Event()
        self._reloader = threading.Thread(target=self._reload_dictionaries, name="dictionaries", daemon=True)
        self._reloader.start()

    def connect(self) -> Any:
        """A new connection: settings, database and temporary tables of its own."""
        return self._open(self._address)

    def run(self, call: Call, session: Session | None = None) -> Answer:
        """Run a statement on a connection of its own, or on a session's.

        Raises ClickHouseError with the engine's code.
        """
        try:
            if session is not None:
                with session.for_one_call(call):
                    return self._run(call, session.connection)
            connection = self.connect()
            try:
                return self._run(call, connection)
            finally:
                connection.close()
        except RuntimeError as error:
            raise ClickHouseError.from_engine(error, self.version, call.clause) from error

    @staticmethod
    def _run(call: Call, connection: Any) -> Answer:
        if call.database:
            connection.query(f"USE {quote_identifier(call.database)}")
        settings = SERVER_SETTINGS | call.settings
        if call.readonly:
            settings["readonly"] = "2"
        pairs = (f"{quote_identifier(name)} = {quote_string(value)}" for name, value in settings.items())
        connection.query("SET " + ", ".join(pairs))
        for table in call.external:
            name = quote_identifier(table.name)
            connection.query(f"CREATE TEMPORARY TABLE {name} ({table.structure})")
            source = (
                f"FROM INFILE '/dev/fd/{table.descriptor}' COMPRESSION 'none' FORMAT {quote_identifier(table.format)}"
            )
            connection.query(f"INSERT INTO {name} {source}")
        try:
            result = connection.query(call.sql, call.format, params=dict(call.params))
        finally:
            for table in call.external:  # a session goes on without it
                connection.query(f"DROP TEMPORARY TABLE {quote_identifier(table.name)}")
        rows, size = result.storage_rows_read(), result.storage_bytes_read()
        if not rows and not result.bytes():  # what an insert from a file has taken is counted as its result
            rows, size = result.rows_read(), result.bytes_read()
        return Answer(bytes(result.bytes()), rows, size)

    def kill(self, marker: str) -> None:
        """Cancel the running statements that hold `marker` in their text."""
        pattern = quote_string(f"%{marker}%")
        self._run_quietly(f"KILL QUERY WHERE query LIKE {pattern} AND query NOT LIKE 'KILL QUERY%' ASYNC")

    def kill_all(self) -> None:
        """Cancel every running statement."""
        self._run_quietly("KILL QUERY WHERE query NOT LIKE 'KILL QUERY%' ASYNC")

    def _run_quietly(self, sql: str) -> str:
        """Run on a connection of its own; an error is logged: what calls this has no caller to tell."""
        try:
            connection = self.connect()
            try:
                return str(connection.query(sql, "TSVRaw"))
            finally:
                connection.close()
        except RuntimeError as error:
            log.warning("statement of the node failed", sql=sql, error=str(error))
            return ""

    def _reload_dictionaries(self) -> None:
        """chDB has no periodic updater: reload what is loaded and as old as its least lifetime; looks every second.

        Not more often: what is heavy to read says so with a longer lifetime, and blocks of streams wait for the core.
        """
        while not self._closing.wait(1.0):
            names = self._run_quietly(
                "SELECT database, name FROM system.dictionaries"
                " WHERE lifetime_max > 0 AND status NOT IN ('NOT_LOADED', 'LOADING') AND database != ''"
                " AND now() >= last_successful_update_time + lifetime_min"
            )
            for line in names.splitlines():
                database, name = line.split("\t")
                if not self._closing.is_set():
                    self._run_quietly(f"SYSTEM RELOAD DICTIONARY {quote_identifier(database)}.{quote_identifier(name)}")

    def close(self) -> None:
        """Close the engine: Kafka tables commit what they have written, then everything stops."""
        self._closing.set()
        self._reloader.join(2.0)
        self._keeper.close()


class Session:
    """A connection kept between requests: what statements set and create stays, what a request asks for does not."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self.connection, self.seconds = connection, seconds
        self.expires, self.busy = 0.0, False
        self._database = ""
        self._settings: dict[str, str] = {}  # the session's own values of settings that requests have changed

    @contextlib.contextmanager
    def for_one_call(self, call: Call) -> Iterator[None]:
        """Put the database and settings of the call back afterwards."""
        if call.database and not self._database:
            self._database = str(self.connection.query("SELECT currentDatabase()", "TSVRaw")).strip()
        if unknown := call.settings.keys() - self._settings:
            names = ", ".join(quote_string(name) for name in unknown)
            query = f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})"
            for line in str(self.connection.query(query, "JSONCompactEachRow")).splitlines():
                name, value, changed = json.loads(line)
                self._settings[name] = quote_string(value) if changed else "DEFAULT"
        try:
            yield
        finally:
            if call.database:
                self.connection.query(f"USE {quote_identifier(self._database)}")
            if changed := {name: self._settings[name] for name in call.settings if name in self._settings}:
                pairs = (f"{quote_identifier(name)} = {value}" for name, value in changed.items())
                self.connection.query("SET " + ", ".join(pairs))
            if call.sql.lstrip()[:3].upper() in (b"SET", b"USE"):
                self._database, self._settings = "", {}


def quote_identifier(name: str) -> str:
    """A name as a quoted identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quote_string(text: str) -> str:
    """A text as a string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
