"""A run that dies anywhere leaves a node from which the next run finishes the work, once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from chctl.bookkeeping import Book
from chctl.clickhouse import connect
from chctl.history import rollback
from chctl.lock import Holder, LockedError
from chctl.migrate import MigrateError, Options, Report, migrate
from chctl.node.run import NodeProcess
from chctl.plan import read
from chctl.resume import interrupted
from chctl.settings import PROJECT_DIR, Settings
from tests.waiting import wait_for

from .conftest import TGT_MV, Project


class Killed(BaseException):
    """The process is gone: nothing it would still do reaches the node."""


class Mortal:
    """A client of a process that dies after `lives` writes: what it reads in between changes nothing."""

    def __init__(self, client: Client, lives: list[int]) -> None:
        self.__dict__.update(_client=client, _lives=lives)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._client, name, value)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        if name not in ("command", "query", "raw_insert", "insert"):
            return member
        cost = 0 if name == "query" else 1

        def request(*args: Any, **kwargs: Any) -> Any:
            if self._lives[0] < cost or self._lives[0] < 0:
                self._lives[0] = -1
                raise Killed
            self._lives[0] -= cost
            return member(*args, **kwargs)

        return request


def run_with_lives(project: Project, lives: list[int], monkeypatch: pytest.MonkeyPatch) -> Report:
    """Run migrate in a process that dies after `lives[0]` writes; its pid is one that is gone."""
    with monkeypatch.context() as patch:
        me = Holder.me()
        patch.setattr(Holder, "me", lambda: replace(me, process_start="of a process that is gone"))
        opener = cast("Callable[[], Client]", lambda: Mortal(project.open_client(), lives))
        return migrate(project.settings, Options(prune=True), open_client=opener)


HOURLY = (
    "CREATE MATERIALIZED VIEW IF NOT EXISTS hourly_mv REFRESH EVERY 1 HOUR APPEND TO tgt AS"
    " SELECT toUInt64(count()) AS a, toUInt64(0) AS n FROM tgt WHERE 0 GROUP BY ()"
)
KAFKA = (
    "CREATE TABLE IF NOT EXISTS kafka_t (raw String) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:9',"
    " kafka_topic_list = 't', kafka_group_name = 'chctl.clickhouse.t', kafka_format = 'LineAsString'"
)


def build(project: Project) -> None:
    """A node with one version of everything, and files that change each kind and add a migration."""
    project.write("views/limits.sql", "CREATE VIEW IF NOT EXISTS limits AS SELECT 1 AS a")
    project.write("views/landing.sql", "CREATE TABLE IF NOT EXISTS landing (a UInt64, old String) ENGINE = Null")
    project.write(
        "views/sizes.sql",
        "CREATE DICTIONARY IF NOT EXISTS sizes (a UInt64, n UInt64) PRIMARY KEY a"
        f" SOURCE(CLICKHOUSE(QUERY 'SELECT a, n FROM {project.settings.clickhouse_database}.tgt'))"
        " LIFETIME(0) LAYOUT(HASHED())",
    )
    project.write("views/hourly_mv.sql", HOURLY)
    project.write("views/kafka_t.sql", KAFKA)
    project.write("views/old.sql", "CREATE VIEW IF NOT EXISTS old AS SELECT 1 AS a")
    project.migrate()
    project.write("views/hourly_mv.sql", HOURLY.replace("1 HOUR", "2 HOUR").replace("count()", "count() + 1"))
    project.write("views/kafka_t.sql", KAFKA.replace("raw String", "raw String, more String"))
    (project.dir / "views/old.sql").unlink()
    project.write(
        "migrations/0002_seed_tgt.sql",
        "CREATE TABLE IF NOT EXISTS seeds (a UInt64) ENGINE = MergeTree ORDER BY a;\n"
        "-- not idempotent: seeds the table once\nINSERT INTO seeds SELECT 1;\n"
        "ALTER TABLE tgt ADD COLUMN IF NOT EXISTS m UInt8;\n",
    )
    project.write("views/limits.sql", "CREATE VIEW IF NOT EXISTS limits AS SELECT 2 AS a")
    project.write("views/landing.sql", "CREATE TABLE IF NOT EXISTS landing (a UInt64, new String) ENGINE = Null")
    sizes = project.dir / "views/sizes.sql"
    project.write("views/sizes.sql", sizes.read_text().replace("n UInt64)", "n Float64)"))
    project.write("views/market/tgt_mv.sql", TGT_MV.replace("AS n\n", "AS n,\n    upper(s) AS big\n"))


def schema(project: Project) -> list[tuple[Any, ...]]:
    """Every object but the bookkeeping, as the node shows it, and the rows of the seeded table."""
    rows = project.query(
        "SELECT name, replaceAll(create_table_query, currentDatabase(), '') FROM system.tables"
        " WHERE database = currentDatabase() AND NOT startsWith(name, 'schema_') ORDER BY name"
    )
    return rows + project.query("SELECT 'seeds', toString(count()) FROM seeds")


@pytest.mark.timeout(400)  # forty runs of migrate; the default is for one
def test_killed_before_every_write_the_next_run_finishes(
    project: Project, make_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(project)
    unlimited = [10**6]
    run_with_lives(project, unlimited, monkeypatch)
    writes, expected = 10**6 - unlimited[0], schema(project)
    assert writes > 30
    asked = resumed = views_resumed = 0
    for lives in range(writes):
        victim = make_project()
        build(victim)
        with pytest.raises(Killed):
            run_with_lives(victim, [lives], monkeypatch)
        open_rows = interrupted(Book(victim.client(), victim.settings.clickhouse_database))
        in_insert = any(r.kind == "migration" and r.step == 2 for r in open_rows)
        if in_insert:
            # The one statement that may not run twice: chctl cannot know, so it asks.
            with pytest.raises(MigrateError, match=r"not idempotent \(seeds the table once\) and may"):
                victim.migrate(prune=True)
            done = victim.query("SELECT count() FROM seeds") == [(1,)]
            report = victim.migrate(interrupted="done" if done else "again", prune=True)
            asked += 1
        else:
            report = victim.migrate(prune=True)
        if any(r.kind == "migration" for r in open_rows):
            assert re.search(r"stopped at statement \d of migrations/0002_seed_tgt.sql: going on there", report.resumed)
            resumed += 1
        elif open_rows:
            assert f"stopped at statement {open_rows[-1].step} of {open_rows[-1].path}: going on" in report.resumed
            views_resumed += 1
        assert interrupted(Book(victim.client(), victim.settings.clickhouse_database)) == []
        assert schema(victim) == expected, f"after {lives} writes"
        assert read(victim.settings, open_client=victim.open_client).empty
        victim.command(f"DROP DATABASE {victim.settings.clickhouse_database}")
    assert asked >= 2  # before and after the INSERT itself
    assert resumed >= 6  # before and after each of the three statements
    assert views_resumed >= 8  # of a view, a Null table, a dictionary (five statements), a Kafka table, two MVs


TWO = "".join(f"CREATE TABLE IF NOT EXISTS {name} (a UInt8) ENGINE = Null;\n" for name in ("one", "two"))


def test_a_rollback_killed_before_any_write_is_finished_by_the_next(
    project: Project, make_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def applied(victim: Project) -> Project:
        victim.write("migrations/0002_create_two.sql", TWO)
        victim.write("migrations/0002_create_two.down.sql", "DROP TABLE IF EXISTS one;\nDROP TABLE IF EXISTS two;\n")
        victim.migrate()
        return victim

    def undo(victim: Project, lives: list[int]) -> list[str]:
        with monkeypatch.context() as patch:
            me = Holder.me()
            patch.setattr(Holder, "me", lambda: replace(me, process_start="of a process that is gone"))
            opener = cast("Callable[[], Client]", lambda: Mortal(victim.open_client(), lives))
            return rollback(victim.settings, open_client=opener)

    unlimited = [10**6]
    assert undo(applied(project), unlimited) == ["0002_create_two.sql"]
    writes = 10**6 - unlimited[0]
    assert writes > 5
    for lives in range(writes):
        victim = applied(make_project())
        with pytest.raises(Killed):
            undo(victim, [lives])
        with suppress(MigrateError):  # killed after all was done: the next one down is 0001, which has no .down.sql
            assert rollback(victim.settings, open_client=victim.open_client) == ["0002_create_two.sql"]
        assert victim.query("EXISTS TABLE one") == victim.query("EXISTS TABLE two") == [(0,)], f"after {lives} writes"
        assert victim.migrate().migrations == ["0002_create_two.sql"]
        assert victim.query("EXISTS TABLE one") == victim.query("EXISTS TABLE two") == [(1,)]
        assert read(victim.settings, open_client=victim.open_client).empty


SLOW = "SELECT sleepEachRow(3) FROM numbers(1);"


def start_migrate(settings: Settings) -> subprocess.Popen[str]:
    """Start the command on the settings' node and project."""
    environment = os.environ | {
        "CHCTL_PROJECT_DIR": str(settings.project_dir),
        "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
        "CHCTL_CLICKHOUSE_DATABASE": settings.clickhouse_database,
    }
    command = [sys.executable, "-m", "cli", "migrate"]
    return subprocess.Popen(command, env=environment, cwd=PROJECT_DIR, stderr=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_a_lock_that_the_next_run_takes_over(settings: Settings, tmp_path: Path) -> None:
    """The real thing: SIGKILL in the middle of a statement, over HTTP."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001_slow_check.sql").write_text(SLOW)
    settings = settings.model_copy(update={"project_dir": tmp_path})
    process = start_migrate(settings)
    client = connect(settings)
    book = Book(client, settings.clickhouse_database)
    wait_for(lambda: book.exists() and interrupted(book), what="the start of the statement")
    with pytest.raises(LockedError, match=rf"pid {process.pid} is migrating .* try again later"):
        migrate(settings, Options(wait_s=0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    report = migrate(settings)
    assert f"(pid {process.pid})" in report.resumed
    assert "stopped at statement 1 of migrations/0001_slow_check.sql: going on there" in report.resumed
    assert report.migrations == ["0001_slow_check.sql"]


def test_a_server_that_goes_half_way_is_told_with_the_statement_and_the_next_run_goes_on(
    fresh_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001_slow_check.sql").write_text(SLOW)
    node = fresh_node(brokers="127.0.0.1:9")  # no Kafka table: none is asked
    settings = node.settings(project_dir=tmp_path)
    process = start_migrate(settings)
    with connect(settings, database="") as client:
        book = Book(client, settings.clickhouse_database)
        wait_for(lambda: book.exists() and interrupted(book), what="the start of the statement")
    node.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "migrations/0001_slow_check.sql, statement 1: " in errors
    assert "Traceback" not in errors
    report = migrate(fresh_node(brokers="127.0.0.1:9").settings(project_dir=tmp_path))
    assert "stopped at statement 1 of migrations/0001_slow_check.sql: going on there" in report.resumed
    assert report.migrations == ["0001_slow_check.sql"]
