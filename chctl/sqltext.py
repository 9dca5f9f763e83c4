"""SQL read as text: the statements of a file, what an object's CREATE says, and what it reads and writes.

Nothing here talks to a server, so the same reading serves `chctl lint`, `chctl plan` and `chctl migrate`. It is token
based (strings, quoted names and comments are recognised) and knows the few forms that name another object:
FROM, JOIN, IN, TO, dictGet('name', ...), joinGet('name', ...) and a dictionary's SOURCE. A test
(tests/e2e/migrate/test_sqltext.py) compares it with the server's own EXPLAIN AST.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clickhouse_migrations.migrator import find_unterminated_token, split_statement_tokens
from clickhouse_migrations.schema_dump import Token, identifier_value, tokenize

_NAME_FUNCTIONS = re.compile(r"(?:dict(?:Get|Has|IsIn)\w*|joinGet\w*)$")
_CLAUSES = {"FROM", "PREWHERE", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "SETTINGS", "UNION"}


_NOT_COLUMNS = {"INDEX", "CONSTRAINT", "PROJECTION", "PRIMARY"}


class SqlError(ValueError):
    """A file that cannot be read as one object; `line` is 1-based, where it is known."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Statement:
    """One statement of a file, without its closing semicolon."""

    sql: str
    line: int  # of its first word, 1-based
    comment: str = ""  # the comments that stand before its first word


@dataclass(frozen=True)
class ObjectDef:
    """What one CREATE statement says. Names carry no database."""

    name: str
    kind: str  # mv | refreshable | view | dictionary | kafka | null | table
    sql: str
    target: str | None = None  # TO table of a materialized view
    query: str = ""  # the SELECT of a view or materialized view
    head: str = ""  # what stands between a view's columns and AS, such as its SQL SECURITY
    refresh: str = ""  # "EVERY 1 HOUR APPEND ..." of a refreshable view
    engine: str = ""  # engine name of a table
    engine_clause: str = ""  # engine with arguments and everything behind it
    columns: tuple[tuple[str, str], ...] = ()  # (name, rest of the declaration) where a column list is written
    declarations: tuple[str, ...] = ()  # what a column list holds beside columns: indexes, projections, constraints
    settings: dict[str, str] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    trigger: str | None = None  # the table whose inserts run a materialized view


def significant(sql: str) -> list[Token]:
    """The tokens of `sql` without white space and comments."""
    return [t for t in tokenize(sql) if t.kind != "space"]


def word(token: Token | None) -> str:
    """An unquoted word in upper case, else ''."""
    return token.text.upper() if token is not None and token.kind == "word" else ""


def string_value(token: Token | None) -> str | None:
    """What a string literal stands for."""
    if token is None or token.kind != "string":
        return None
    body = token.text
    if body.startswith("$$"):
        return body[2:-2]
    return re.sub(r"\\(.)", r"\1", body[1:-1].replace("''", "'"), flags=re.DOTALL)


def statements(script: str) -> list[Statement]:
    """Split a file as clickhouse-migrations does. Raises SqlError on a quote or comment that never closes."""
    broken = find_unterminated_token(script)
    if broken is not None:
        raise SqlError(f"{broken.text[:1]} is never closed", script.count("\n", 0, broken.offset) + 1)
    found = []
    for tokens in split_statement_tokens(script):
        code = next(t for t in tokens if t.kind not in ("line_comment", "block_comment") and t.text.strip())
        start = code.offset + len(code.text) - len(code.text.lstrip())
        end = tokens[-1].offset + len(tokens[-1].text)
        found.append(
            Statement(
                script[start:end].strip(),
                script.count("\n", 0, start) + 1,
                script[tokens[0].offset : start].strip(),
            )
        )
    return found


def headline(sql: str) -> str:
    """The first line of a statement, comments left out, `...` where more follow."""
    lines = [line for line in sql.strip().splitlines() if not line.lstrip().startswith("--")] or [""]
    return lines[0] + (" ..." if len(lines) > 1 else "")


def _first_word(text: str) -> str:
    return word(next(iter(significant(text)), None))


def _text(tokens: Sequence[Token]) -> str:
    return "".join(t.text for t in tokens).strip()


class _Cursor:
    """Reads the head of a CREATE statement; keeps white space so that clauses can be cut out as written."""

    def __init__(self, sql: str) -> None:
        self.tokens = tokenize(sql)
        self.at = 0
        self._skip()

    def _skip(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "space":
            self.at += 1

    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def next(self) -> Token | None:
        token = self.peek()
        self.at += 1
        self._skip()
        return token

    def accept(self, *words: str) -> bool:
        """Consume `words` if they stand next."""
        start = self.at
        for wanted in words:
            if word(self.peek()) != wanted:
                self.at = start
                return False
            self.next()
        return True

    def name(self) -> str:
        """An object's name, its database dropped."""
        token = self.next()
        value = identifier_value(token) if token is not None else None
        if value is None:
            raise SqlError(f"expected a name, got {token.text if token else 'the end'!r}")
        while (dot := self.peek()) is not None and dot.text == ".":
            self.next()
            token = self.next()
            value = identifier_value(token) if token is not None else None
            if value is None:
                raise SqlError("expected a name after '.'")
        return value

    def parens(self) -> str | None:
        """The inside of a parenthesised group that stands next, as written."""
        opening = self.peek()
        if opening is None or opening.text != "(":
            return None
        start, depth = self.at + 1, 0
        while self.at < len(self.tokens):
            text = self.tokens[self.at].text if self.tokens[self.at].kind == "punct" else ""
            depth += (text == "(") - (text == ")")
            self.at += 1
            if depth == 0:
                inside = _text(self.tokens[start : self.at - 1])
                self._skip()
                return inside
        raise SqlError("a parenthesis is never closed")

    def until(self, *words: str) -> str:
        """Everything up to one of `words` at this depth (not consumed), or to the end."""
        start, depth = self.at, 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if depth == 0 and word(token) in words:
                break
            if token.kind == "punct":
                depth += (token.text in "([") - (token.text in ")]")
            self.at += 1
        return _text(self.tokens[start : self.at])

    def rest(self) -> str:
        return _text(self.tokens[self.at :])


def _without_comments(text: str) -> list[Token]:
    return [t for t in tokenize(text) if not (t.kind == "space" and t.text.startswith(("--", "/*")))]


def split_commas(text: str) -> list[str]:
    """Split at the commas that stand outside brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokenize(text):
        if token.kind == "punct":
            depth += (token.text in "([{") - (token.text in ")]}")
            if token.text == "," and depth == 0:
                parts.append([])
                continue
        parts[-1].append(token)
    return [part for part in (_text(p) for p in parts) if part]


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    """Column declarations of a CREATE TABLE; indexes, constraints and projections are left out."""
    columns = []
    for part in split_commas(text):
        tokens = significant(part)
        if not tokens or word(tokens[0]) in _NOT_COLUMNS:
            continue
        name = identifier_value(tokens[0])
        if name is None:
            raise SqlError(f"expected a column, got {part[:40]!r}")
        columns.append((name, _text(_without_comments(part))[len(tokens[0].text) :].strip()))
    return tuple(columns)


def _settings(clause: str) -> dict[str, str]:
    """The `SETTINGS a = 1, b = 'x'` of an engine clause."""
    cursor = _Cursor(clause)
    cursor.until("SETTINGS")
    if not cursor.accept("SETTINGS"):
        return {}
    found = {}
    for part in split_commas(cursor.until("COMMENT")):
        tokens = significant(part)
        if len(tokens) >= 3 and tokens[1].text == "=":
            value = string_value(tokens[2])
            found[tokens[0].text] = _text(tokens[2:]) if value is None else value
    return found


def parse_object(sql: str) -> ObjectDef:
    """Read one CREATE statement. Raises SqlError where it is none, or of a kind that views/ cannot hold."""
    cursor = _Cursor(sql)
    if not (cursor.accept("CREATE") or cursor.accept("ATTACH")):
        raise SqlError("expected one CREATE statement")
    cursor.accept("OR", "REPLACE")
    if cursor.accept("MATERIALIZED", "VIEW"):
        kind = "mv"
    else:
        token = cursor.next()
        kind = word(token).lower()
        if kind == "function":
            raise SqlError("a function belongs to the whole server, not to a database: create it in a migration")
        if kind not in ("view", "table", "dictionary"):
            raise SqlError(f"CREATE {token.text if token else ''}: expected a view, table or dictionary")
    cursor.accept("IF", "NOT", "EXISTS")
    name = cursor.name()
    if cursor.accept("UUID"):
        cursor.next()
    if cursor.accept("ON", "CLUSTER"):
        cursor.next()
    if kind in ("mv", "view"):
        return _parse_view(cursor, kind, name, sql)
    if kind == "dictionary":
        columns = _columns(cursor.parens() or "")
        rest = cursor.rest()
        return ObjectDef(name, kind, sql, engine_clause=rest, columns=columns, reads=frozenset(_source_reads(rest)))
    inside = cursor.parens() or ""
    declarations = tuple(part for part in split_commas(inside) if _first_word(part) in _NOT_COLUMNS)
    cursor.until("ENGINE")
    if not cursor.accept("ENGINE"):
        raise SqlError(f"{name}: a table needs its ENGINE")
    clause = cursor.rest().removeprefix("=").strip()
    engine = (identifier_value(significant(clause)[0]) if significant(clause) else None) or ""
    kind = {"Kafka": "kafka", "Null": "null"}.get(engine, "table")
    return ObjectDef(
        name,
        kind,
        sql,
        engine=engine,
        engine_clause=clause,
        columns=_columns(inside),
        declarations=declarations,
        settings=_settings(clause),
    )


def relayed_to(buffer: ObjectDef) -> str:
    """The table that a Buffer passes rows on to: its second argument, after the database."""
    arguments = _Cursor(buffer.engine_clause.removeprefix(buffer.engine).strip()).parens() or ""
    parts = split_commas(arguments)
    return (parts[1].strip().strip("`'\"")) if len(parts) > 1 else ""


def _parse_view(cursor: _Cursor, kind: str, name: str, sql: str) -> ObjectDef:
    refresh = ""
    if kind == "mv" and cursor.accept("REFRESH"):
        kind, refresh = "refreshable", cursor.until("TO", "ENGINE", "EMPTY", "AS", "DEFINER", "SQL")
        refresh = " ".join(refresh.split())
    target = cursor.name() if cursor.accept("TO") else None
    columns = _columns(cursor.parens() or "")
    head = cursor.until("AS")
    if re.search(r"\bPOPULATE\b", head, re.IGNORECASE):
        raise SqlError(f"{name}: POPULATE misses rows inserted meanwhile; fill the target with `chctl rebuild`")
    if not cursor.accept("AS"):
        raise SqlError(f"{name}: expected AS SELECT")
    query = cursor.rest()
    if kind != "view" and target is None:
        raise SqlError(f"{name}: a materialized view names its table: CREATE MATERIALIZED VIEW {name} TO <table>")
    return ObjectDef(
        name,
        kind,
        sql,
        target=target,
        query=query,
        head=head,
        refresh=refresh,
        columns=columns,
        reads=frozenset(references(query)),
        trigger=trigger_table(query) if kind == "mv" else None,
    )


def references(query: str) -> Iterator[str]:
    """Every name that stands where a table, view or dictionary can; CTEs and functions are left to the caller."""
    tokens = significant(query)
    for i, token in enumerate(tokens):
        following = tokens[i + 1 :]
        if word(token) in ("FROM", "JOIN", "IN"):
            yield from _table_list(following, comma=word(token) == "FROM")
        elif token.kind == "word" and _NAME_FUNCTIONS.match(token.text) and len(following) > 1:
            name = string_value(following[1]) if following[0].text == "(" else None
            if name:
                yield name.rsplit(".", 1)[-1]


def _table_list(tokens: Sequence[Token], *, comma: bool) -> Iterator[str]:
    """Names right behind FROM or JOIN: `a`, `db.a`, and behind FROM also `a AS x, b`."""
    i = 0
    while i < len(tokens):
        value = identifier_value(tokens[i])
        if value is None:
            return
        while i + 2 < len(tokens) and tokens[i + 1].text == ".":
            i += 2
            value = identifier_value(tokens[i]) or value
        if i + 1 < len(tokens) and tokens[i + 1].text == "(":
            return  # a table function
        yield value
        i += 1
        while i < len(tokens) and word(tokens[i]) in ("AS", "FINAL"):
            i += 1
        if i < len(tokens) and identifier_value(tokens[i]) is not None and i + 1 < len(tokens):
            i += tokens[i + 1].text == ","  # an alias before a comma
        if not comma or i >= len(tokens) or tokens[i].text != ",":
            return
        i += 1


def _source_reads(clause: str) -> Iterator[str]:
    """Tables behind a dictionary's SOURCE(CLICKHOUSE(TABLE 'x' | QUERY 'SELECT ...'))."""
    tokens = significant(clause)
    for i, token in enumerate(tokens[:-1]):
        value = string_value(tokens[i + 1]) or identifier_value(tokens[i + 1])
        if word(token) == "TABLE" and value:
            yield value.rsplit(".", 1)[-1]
        elif word(token) == "QUERY" and value:
            yield from references(value)


def common_tables(tokens: Sequence[Token]) -> dict[str, int]:
    """CTE name -> index of the opening parenthesis of its body."""
    return {
        name: i + 2
        for i in range(len(tokens) - 2)
        if (name := identifier_value(tokens[i])) is not None
        and word(tokens[i + 1]) == "AS"
        and tokens[i + 2].text == "("
    }


def trigger_table(query: str) -> str | None:
    """The table whose inserts run this materialized view: the left-most one of the first SELECT."""
    tokens = significant(query)
    ctes = common_tables(tokens)

    def first_from(at: int) -> str | None:
        depth = 0
        while at < len(tokens):
            token = tokens[at]
            depth += (token.text in ("(", "[")) - (token.text in (")", "]")) if token.kind == "punct" else 0
            if depth < 0:
                return None
            if depth == 0 and word(token) == "FROM":
                return source(at + 1)
            at += 1
        return None

    def source(at: int) -> str | None:
        if at >= len(tokens):
            return None
        if tokens[at].text == "(":
            return source(at + 1) if tokens[at + 1].text == "(" else first_from(at + 1)
        name = identifier_value(tokens[at])
        while name is not None and at + 2 < len(tokens) and tokens[at + 1].text == ".":
            at += 2
            name = identifier_value(tokens[at])
        body = ctes.get(name) if name is not None else None
        if body is not None and not body < at < _closing(tokens, body):
            return first_from(body + 1)
        return name

    return first_from(0)


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for i in range(opening, len(tokens)):
        depth += (tokens[i].text == "(") - (tokens[i].text == ")")
        if depth == 0:
            return i
    return len(tokens)


def output_columns(query: str) -> list[str] | None:
    """Names of the columns a SELECT gives, or None where they cannot be read off (`*`, an expression without AS)."""
    tokens = tokenize(query)
    depth, start, stop = 0, None, len(tokens)
    for i, token in enumerate(tokens):
        if token.kind == "punct":
            depth += (token.text in "([{") - (token.text in ")]}")
        elif depth == 0 and start is None and word(token) == "SELECT":
            start = i + 1
        elif depth == 0 and start is not None and word(token) in _CLAUSES:
            stop = i
            break
    if start is None:
        inner = significant(query)
        return output_columns(query.strip()[1:-1]) if inner and inner[0].text == "(" else None
    names = []
    for item in split_commas(_text(tokens[start:stop])):
        words = significant(item)
        if words and word(words[0]) == "DISTINCT":
            words = words[1:]
        name = identifier_value(words[-1]) if words else None
        plain = len(words) == 1 or (len(words) >= 2 and (word(words[-2]) == "AS" or words[-2].text == "."))
        if name is None or not plain:
            return None
        names.append(name)
    return names
