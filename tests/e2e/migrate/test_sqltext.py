"""What is read off SQL text agrees with ClickHouse's own parser, on every view of the repository."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from chctl.project import read_migrations, relays
from chctl.settings import PROJECT_DIR
from chctl.sqltext import SqlError, output_columns, parse_object, references, split_commas, statements, trigger_table
from chctl.views import View, apply_order, load_views

VIEWS = load_views(PROJECT_DIR)
RELAYS = relays(s for migration in read_migrations(PROJECT_DIR) for s in migration.statements)


@pytest.mark.parametrize("view", [v for v in VIEWS if v.definition.query], ids=lambda v: v.name)
def test_references_are_those_of_the_server(view: View, open_client: Callable[[], Client]) -> None:
    client = open_client()
    rows = client.query(f"EXPLAIN AST {view.definition.query}").result_rows
    tables = {m[1].rpartition(".")[2] for (line,) in rows if (m := re.search(r"TableIdentifier (\S+)", line))}
    dictionaries = {v.name for v in VIEWS if v.definition.kind == "dictionary"}
    assert tables <= view.definition.reads
    names_of_columns = {m[1] for (line,) in rows if (m := re.search(r"^\s*Identifier (\S+)", line))}
    assert view.definition.reads - tables - dictionaries <= names_of_columns  # `x IN y`, y being a column


def test_the_order_puts_what_is_read_first_and_readers_before_writers() -> None:
    assert RELAYS["market_l2_gate"] == "market_l2_parsed"
    order = [v.name for v in apply_order(VIEWS, RELAYS)]
    by_name = {v.name: v.definition for v in VIEWS}
    for definition in by_name.values():
        for read in definition.reads & by_name.keys():
            assert order.index(read) < order.index(definition.name)
        for reader in by_name.values():
            if (
                reader.kind == "mv"
                and definition.kind == "mv"
                and reader.trigger == RELAYS.get(str(definition.target), definition.target)
            ):
                assert order.index(reader.name) < order.index(definition.name)


@pytest.mark.parametrize(
    ("query", "trigger"),
    [
        ("SELECT a FROM t JOIN u USING (a)", "t"),
        ("SELECT a FROM (SELECT a FROM db.t UNION ALL SELECT a FROM u)", "t"),
        ("WITH c AS (SELECT a FROM t) SELECT a FROM c JOIN u USING (a)", "t"),
        ("WITH t AS (SELECT a FROM t) SELECT a FROM t", "t"),
        ("SELECT (SELECT max(a) FROM u) AS m FROM t", "t"),
        ("SELECT a FROM ((SELECT a FROM t) AS x)", "t"),
        ("SELECT 1 AS a", None),
    ],
)
def test_the_trigger_is_the_left_most_table_of_the_first_select(query: str, trigger: str | None) -> None:
    assert trigger_table(query) == trigger


def test_names_in_strings_comments_and_functions_are_no_references() -> None:
    query = (
        "SELECT 'FROM x' AS a -- FROM y\n, dictGet('d', 'v', 1) AS b FROM numbers(3) JOIN t AS z ON 1 /* FROM q */"
        " WHERE c IN (SELECT c FROM db.u) AND d IN (1, 2)"
    )
    assert set(references(query)) == {"d", "t", "u"}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT a, t.b, f(c, d) AS e FROM t", ["a", "b", "e"]),
        ("WITH x AS (SELECT 1 AS q) SELECT DISTINCT a FROM x", ["a"]),
        ("SELECT * FROM t", None),
        ("SELECT a + 1 FROM t", None),
    ],
)
def test_output_columns(query: str, names: list[str] | None) -> None:
    assert output_columns(query) == names


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_never_a_crash(text: str) -> None:
    try:
        for statement in statements(text):
            parse_object(statement.sql)
    except SqlError:
        pass


@given(st.lists(st.from_regex(r"[a-z]+\([a-z, ]*\)|'[a-z,;]*'|`[a-z,]+`", fullmatch=True), min_size=1))
def test_commas_split_only_outside_brackets_and_quotes(parts: list[str]) -> None:
    assert split_commas(" , ".join(parts)) == [p.strip() for p in parts]
