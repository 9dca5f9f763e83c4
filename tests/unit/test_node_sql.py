"""Cutting a request's bytes into statement and data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chctl.node.sql import BadStatement, split


@pytest.mark.parametrize(
    ("text", "format_name", "data"),
    [
        (b"INSERT INTO t FORMAT TSV\n1\t2\n", "TSV", b"1\t2\n"),
        (b"insert into t (a, `FORMAT`) format JSONEachRow {}", "JSONEachRow", b"{}"),
        (b"INSERT INTO t SETTINGS async_insert = 0 FORMAT Native\n\x00\xff", "Native", b"\x00\xff"),
        (b"/* FORMAT x */ INSERT INTO t -- FORMAT y\n FORMAT CSV;\n1", "CSV", b"1"),
        (b"INSERT INTO t VALUES (1), (2)", "Values", b" (1), (2)"),
        (b"INSERT INTO FUNCTION null('a String, format String') FORMAT RowBinary\n\n", "RowBinary", b"\n"),
        (b"INSERT INTO t (a)", None, b""),
        (b"WITH 1 AS y INSERT INTO t (s) FORMAT TSV\na;\n", "TSV", b"a;\n"),
    ],
)
def test_an_insert_is_cut_where_its_data_begin(text: bytes, format_name: str | None, data: bytes) -> None:
    statement = split(text)
    assert (statement.kind, statement.format, text[statement.data_at :]) == ("insert", format_name, data)


def test_the_file_clause_goes_before_settings() -> None:
    statement = split(b"INSERT INTO t (a) SETTINGS x = 1 FORMAT TSV\n1")
    assert statement.with_clause("FROM INFILE 'f'") == b"INSERT INTO t (a)  FROM INFILE 'f' SETTINGS x = 1 "


@pytest.mark.parametrize(
    ("text", "format_name"),
    [
        (b"SELECT 1 FORMAT JSON;", "JSON"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1 -- end", "JSON"),
        (b"SELECT 1 SETTINGS max_threads = 1 FORMAT CSV", "CSV"),
        (b"SELECT format('{}', a) FROM t", None),
        (b"SELECT t.format b FROM t", None),
        (b"SELECT 'FORMAT JSON' AS `FORMAT`", None),
        (b"SELECT $$ FORMAT JSON $$", None),
        (b"(SELECT 1 FORMAT JSON)", None),
    ],
)
def test_a_select_is_in_the_format_of_its_own_clause(text: bytes, format_name: str | None) -> None:
    statement = split(text)
    assert (statement.kind, statement.format) == ("select", format_name)


@pytest.mark.parametrize("text", [b"INSERT INTO t SELECT 1", b"INSERT INTO t (SELECT 1)", b"CREATE TABLE t (a Int8)"])
def test_statements_without_data_are_left_to_the_engine(text: bytes) -> None:
    assert split(text).kind == "other"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"SELECT 1; DROP TABLE t", 62),
        (b"SELECT 1 INTO OUTFILE '/etc/passwd'", 358),
        (b"INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV", 48),
        (b"INSERT INTO t SELECT 1; SELECT 2", 62),
    ],
)
def test_several_statements_and_files_of_the_server_are_refused(text: bytes, code: int) -> None:
    with pytest.raises(BadStatement) as refused:
        split(text)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_any_data_come_through_unchanged(data: bytes) -> None:
    text = b"INSERT INTO t FORMAT Native\n" + data
    assert text[split(text).data_at :] == data


@given(st.text(alphabet="SELECT 1FORMAT'\"`;()$-/*\n#a,.=", max_size=60))
def test_any_text_is_cut_or_refused_but_never_fails(text: str) -> None:
    try:
        statement = split(text.encode())
    except BadStatement:
        return
    assert text.encode().startswith(statement.text) or statement.kind == "empty"
