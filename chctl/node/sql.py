"""Where a statement ends and its data begin: as much of ClickHouse's syntax as the HTTP interface has to see.

ClickHouse's own parser stays the judge of a statement. This only finds the clauses that the interface must add or cut
(`FROM INFILE`, `INTO OUTFILE`, `FORMAT`), skipping strings, comments, heredocs and parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    rb"""
      (?P<space>\s+ | --[^\n]* | \#[\ !][^\n]* | /\*.*?\*/)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*' | `(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*" | \$(\w*)\$.*?\$\3\$)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<sign>.)
    """,
    re.DOTALL | re.VERBOSE,
)

#: Statements whose result may be large and that take INTO OUTFILE: they are streamed.
_SELECTS = {b"SELECT", b"WITH", b"FROM", b"("}
_SHOWS = {b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS", b"CHECK", b"KILL"}


class BadStatement(ValueError):
    """A statement that the HTTP interface refuses before the engine sees it."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code, self.name = code, name


@dataclass(frozen=True)
class Statement:
    """A request's statement.

    `text` is the statement without data, comments at its end and `;`. For an insert with data `clause_at` is where
    `FROM INFILE` goes and `data_at` where the data start in the given bytes; for a select `clause_at` is where
    `INTO OUTFILE` goes. `has_result` is false for statements that answer with nothing in any format.
    """

    kind: Literal["insert", "select", "other", "empty"]
    text: bytes
    format: str | None = None
    clause_at: int = 0
    data_at: int = 0
    has_result: bool = True

    def with_clause(self, clause: str) -> bytes:
        """The statement with `clause` put where `clause_at` says."""
        return self.text[: self.clause_at] + f" {clause} ".encode() + self.text[self.clause_at :]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: bytes
    start: int
    end: int
    depth: int


def _tokens(text: bytes) -> Iterator[_Token]:
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup or "quoted", match.group()
        if kind == "space":
            continue
        if token in b")]}" and kind == "sign":
            depth -= 1
        yield _Token(kind, token.upper() if kind == "word" else token, match.start(), match.end(), depth)
        if token in b"([{" and kind == "sign":
            depth += 1


def split(text: bytes) -> Statement:
    """Cut a statement, perhaps followed by data, as ClickHouse's HTTP interface takes it.

    Raises BadStatement for several statements in one request and for INTO OUTFILE / FROM INFILE, which would name
    files of the server.
    """
    tokens = _tokens(text)
    first = next(tokens, None)
    if first is None:
        return Statement("empty", b"")
    if first.text == b"INSERT":
        return _split_insert(text, tokens)
    return _split_query(text, first, tokens)


def _split_insert(text: bytes, tokens: Iterator[_Token]) -> Statement:
    settings_at: int | None = None
    end = 0
    for token in tokens:
        if token.depth == 0 and token.kind == "word":
            if token.text == b"SETTINGS" and settings_at is None:
                settings_at = token.start
            elif token.text == b"FORMAT":
                name = next(tokens, None)
                if name is None or name.kind != "word":
                    break
                clause_at = token.start if settings_at is None else settings_at
                statement = text[: token.start]
                return Statement(
                    "insert", statement, text[name.start : name.end].decode(), clause_at, _data(text, name), False
                )
            elif token.text == b"VALUES":
                clause_at = token.start if settings_at is None else settings_at
                return Statement("insert", text[: token.start], "Values", clause_at, token.end, False)
            elif token.text == b"INFILE":
                raise BadStatement(48, "NOT_IMPLEMENTED", "FROM INFILE is not allowed over HTTP: send the data as body")
            elif token.text in (b"SELECT", b"WITH", b"WATCH"):
                rest = _split_query(text, token, tokens)
                return Statement("other", rest.text, has_result=False)
        elif token.text == b";" and token.depth == 0:
            break
        elif token.text == b"(" and _opens_select(text, token):
            rest = _split_query(text, token, tokens)
            return Statement("other", rest.text, has_result=False)
        end = token.end
    clause_at = end if settings_at is None else settings_at
    return Statement("insert", text[:end], None, clause_at, end, False)


def _opens_select(text: bytes, parenthesis: _Token) -> bool:
    inner = next(_tokens(text[parenthesis.end :]), None)
    return inner is not None and inner.text in (b"SELECT", b"WITH", b"(")


def _data(text: bytes, name: _Token) -> int:
    """Data start after the format's name, blanks, one `;` and one end of line."""
    match = re.compile(rb"[ \t\r]*;?[ \t\r]*\n?").match(text, name.end)
    return match.end() if match else name.end


def _split_query(text: bytes, first: _Token, tokens: Iterator[_Token]) -> Statement:
    kept = [first]
    for token in tokens:
        if token.text == b"INTO" and token.depth == 0 and first.text == b"WITH" and kept[-1].text == b"INSERT":
            return _split_insert(text, tokens)
        if token.text == b";" and token.depth <= 0 and token.kind == "sign":
            extra = next((t for t in tokens if t.text != b";"), None)
            if extra is not None:
                message = f"Syntax error (Multi-statements are not allowed): failed at position {token.start + 1} (;)"
                raise BadStatement(62, "SYNTAX_ERROR", message)
            break
        kept.append(token)
    end = kept[-1].end
    kind: Literal["select", "other"] = "select" if first.text in _SELECTS else "other"
    format_name, clause_at = None, end
    for i, token in enumerate(kept):
        if token.kind != "word" or token.depth != 0:
            continue
        if token.text == b"OUTFILE" and kept[i - 1].text == b"INTO":
            raise BadStatement(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")
        if token.text == b"FORMAT" and _names_format(kept, i):
            format_name, clause_at = text[kept[i + 1].start : kept[i + 1].end].decode(), token.start
    has_result = kind == "select" or first.text in _SHOWS
    return Statement(kind, text[:end], format_name, clause_at, end, has_result)


def _names_format(tokens: list[_Token], i: int) -> bool:
    """FORMAT is the clause where a name follows and then nothing or SETTINGS; elsewhere it is a function or column."""
    if i == 0 or i + 1 >= len(tokens) or tokens[i + 1].kind != "word" or tokens[i - 1].text in b".,":
        return False
    return i + 2 == len(tokens) or tokens[i + 2].text == b"SETTINGS"
