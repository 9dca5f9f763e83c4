"""Every rollup of the node, after a stream that came twice: equal to its rebuild from the raw rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chctl.project import Project
from chctl.rebuild import rebuild
from chctl.settings import PROJECT_DIR, Settings
from chctl.sqltext import parse_object
from tests.watched import fill

pytestmark = pytest.mark.timeout(300)  # the whole schema is applied first

#: Every table of migrations/ that holds states, and with it any that is added later.
ROLLUPS = sorted(
    parse_object(statement.sql).name
    for migration in Project.read(PROJECT_DIR).migrations
    for statement in migration.statements
    if "ENGINE = AggregatingMergeTree" in statement.sql
)


@pytest.fixture(scope="module")
def twice(whole: Settings) -> Settings:
    """A node that has watched a venue and got most of it a second time, in other blocks."""
    fill(whole, deliveries=2)
    return whole


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_it_equals_its_rebuild(twice: Settings, rollup: str) -> None:
    now = datetime.now(UTC)
    result = rebuild(twice, rollup, now - timedelta(hours=1), now + timedelta(minutes=1), check=True)
    assert result.rows > 20
    assert result.different == 0
