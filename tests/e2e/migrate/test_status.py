"""`chctl status`: where a node stands."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chctl.bookkeeping import Book
from chctl.lock import Holder, Lock
from chctl.migrate import MigrateError
from chctl.status import read, show

from .conftest import Project


def test_before_and_after_migrate(project: Project) -> None:
    before = read(project.settings, open_client=project.open_client)
    assert before.pending_migrations == ["migrations/0001_create_src_tgt.sql"]
    assert before.pending_views == ["views/market/tgt_mv.sql"]
    assert not before.up_to_date
    project.migrate()
    after = read(project.settings, open_client=project.open_client)
    assert json.loads(after.to_json())["up_to_date"] is True
    assert show(after).endswith("up to date")


def test_names_who_is_migrating_and_the_statement_that_failed(project: Project) -> None:
    project.write("migrations/0002_fail.sql", "CREATE TABLE IF NOT EXISTS second AS missing_table;\n")
    with pytest.raises(MigrateError):
        project.migrate()
    client = project.client()
    lock = Lock(project.client, project.settings.clickhouse_database)
    lock.holder = replace(Holder.me(), who="dba@elsewhere")
    with lock.held(client, 0):
        found = read(project.settings, open_client=project.open_client)
    assert found.holder.startswith("dba@elsewhere, pid ")
    (stopped,) = found.stopped_at
    assert (stopped.path, stopped.step, stopped.state) == ("migrations/0002_fail.sql", 1, "failed")
    assert "missing_table" in show(found)
    assert Book(client, project.settings.clickhouse_database).exists()
