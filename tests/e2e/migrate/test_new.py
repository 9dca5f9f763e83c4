"""`chctl new`: what it writes can be applied as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chctl.contracts import load
from chctl.migrate import MigrateError
from chctl.scaffold import new_migration, new_rule, new_stream, new_view
from chctl.settings import PROJECT_DIR

from .conftest import Project


@pytest.fixture
def scaffolded(project: Project) -> Project:
    """The example project with the repository's templates."""
    shutil.copytree(PROJECT_DIR / "templates", project.dir / "templates")
    return project


def test_a_migration_gets_the_next_number_and_applies(scaffolded: Project) -> None:
    (path,) = new_migration(scaffolded.dir, "create_quotes")
    assert path.name == "0002_create_quotes.sql"
    scaffolded.migrate()
    assert scaffolded.query("EXISTS TABLE quotes") == [(1,)]


def test_views_apply(scaffolded: Project) -> None:
    new_migration(scaffolded.dir, "create_quotes")
    new_migration(scaffolded.dir, "create_quotes_copy")
    new_view(scaffolded.dir, "quotes_copy_mv", "market", "quotes")
    new_view(scaffolded.dir, "dash_quotes", "dash", "quotes")
    assert {c.kind for c in scaffolded.migrate().changes} == {"mv", "view"}
    scaffolded.command("INSERT INTO quotes VALUES (now64(3), 'a')")
    assert scaffolded.query("SELECT count() FROM quotes_copy") == [(1,)]


def test_a_rule_applies_beside_the_tables_of_signals_and_starts_switched_off(scaffolded: Project) -> None:
    for number, name in enumerate(("create_alert_rules", "create_alert_signals", "create_liquidity_moments"), 2):
        (source,) = (PROJECT_DIR / "migrations").glob(f"*_{name}.sql")
        scaffolded.write(f"migrations/{number:04d}_{name}.sql", source.read_text())
    for name in ("alert_rules_now", "alert_thresholds"):
        scaffolded.write(f"views/alerts/{name}.sql", (PROJECT_DIR / f"views/alerts/{name}.sql").read_text())
    view, thresholds = new_rule(scaffolded.dir, "odd_second", "liquidity_moments")
    assert view.name == "alert_odd_second_mv.sql"
    scaffolded.migrate()
    enabled = "SELECT value FROM alert_rules WHERE rule = 'odd_second' AND parameter = 'enabled'"
    assert scaffolded.query(enabled) == [(0,)]
    assert thresholds.name == "0005_set_odd_second_thresholds.sql"


def test_a_stream_is_a_valid_contract(scaffolded: Project) -> None:
    (path,) = new_stream(scaffolded.dir, "venue_status")
    assert load(path).topic == "venue_status"


def test_a_file_that_exists_is_never_overwritten(scaffolded: Project) -> None:
    before = Path(scaffolded.dir / "views/market/tgt_mv.sql").read_text()
    with pytest.raises(MigrateError, match="exists already"):
        new_view(scaffolded.dir, "tgt_mv", "market", "src")
    assert Path(scaffolded.dir / "views/market/tgt_mv.sql").read_text() == before


@pytest.mark.parametrize("name", ["", "../x", "Create Trades", "x;drop", "1st"])
def test_a_bad_name_is_refused(scaffolded: Project, name: str) -> None:
    with pytest.raises(MigrateError, match="is no name: use lower case"):
        new_migration(scaffolded.dir, name)


def test_a_missing_template_is_named(project: Project) -> None:
    with pytest.raises(MigrateError, match=r"templates/migration.sql.j2:1: is missing"):
        new_migration(project.dir, "create_quotes")
