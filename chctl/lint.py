"""`chctl lint`: everything about contracts/, migrations/ and views/ that can be known to be wrong without a node.

Three kinds of rules: the text of one file (RULES below, one function a rule), what the files say together
(`chctl.checks`, which `chctl migrate` refuses on too), and whether ClickHouse can read it (`EXPLAIN AST` of every
statement by chDB in a child process). The routing files of deploy/alerts/ are checked beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clickhouse_migrations.schema_dump import Token, identifier_value, tokenize

from chctl.checks import Finding, check
from chctl.contracts import ContractError, load
from chctl.project import Project
from chctl.render import stale
from chctl.scratch import Scratch, ScratchError
from chctl.sqltext import SqlError, Statement, statements, word
from chctl.views import FileError, read_sql, read_view
from feeders.alerting.routing import check as check_routing

_LINE = re.compile(r"\(line (\d+), col \d+\)")
#: Words that are followed by the name of an object.
_BEFORE_A_NAME = {"FROM", "JOIN", "TO", "TABLE", "VIEW", "DICTIONARY", "INTO", "EXISTS"}
#: Databases of the server itself, which have to be named.
_SYSTEM = {"system", "information_schema", "INFORMATION_SCHEMA"}
#: Words that are nothing but keywords; others may also name a column.
_KEYWORDS = {"create", "select", "from", "where", "alter", "insert", "prewhere", "materialized"}


@dataclass(frozen=True)
class SqlFile:
    """A file as the rules see it."""

    path: str
    text: str
    statements: tuple[Statement, ...]

    @property
    def is_view(self) -> bool:
        """Whether it is one object of views/."""
        return self.path.startswith("views/")

    def tokens(self) -> Iterator[list[tuple[Token, int]]]:
        """The tokens of each statement with their lines, without white space and comments."""
        for statement in self.statements:
            line, placed = statement.line, []
            for token in tokenize(statement.sql):
                if token.kind != "space":
                    placed.append((token, line))
                line += token.text.count("\n")
            yield placed


def opens_with_a_comment(file: SqlFile) -> Iterator[Finding]:
    """What the object is, its grain and who reads it stand first."""
    if not re.match(r"\s*(--|/\*)\s*\S", file.text):
        yield Finding(file.path, 1, "open with a comment: what it holds, its grain, who reads it")


def has_no_tabs(file: SqlFile) -> Iterator[Finding]:
    """Four spaces."""
    for number, line in enumerate(file.text.splitlines(), 1):
        if "\t" in line:
            yield Finding(file.path, number, "a tab: indent by four spaces")


def creates_if_not_exists(file: SqlFile) -> Iterator[Finding]:
    """A CREATE runs again after a crash."""
    for tokens in file.tokens():
        words = [word(token) for token, _ in tokens[:8]]
        if words[0] == "CREATE" and "EXISTS" not in words and "REPLACE" not in words[:3]:
            yield Finding(file.path, tokens[0][1], "CREATE without IF NOT EXISTS fails the second time")


def names_no_database(file: SqlFile) -> Iterator[Finding]:
    """The database comes from the settings, so that the same SQL runs in a test's."""
    for tokens in file.tokens():
        for (before, _), (name, line), (dot, _), (rest, _) in zip(
            tokens, tokens[1:], tokens[2:], tokens[3:], strict=False
        ):
            if dot.text != "." or word(before) not in _BEFORE_A_NAME:
                continue
            database = identifier_value(name)
            if database and database not in _SYSTEM and identifier_value(rest):
                yield Finding(file.path, line, f"database {database}: write the name alone")


def has_no_set(file: SqlFile) -> Iterator[Finding]:
    """A session is not kept between statements."""
    for tokens in file.tokens():
        if word(tokens[0][0]) == "SET":
            yield Finding(file.path, tokens[0][1], "SET is lost with its connection: put SETTINGS into the statement")


def writes_keywords_in_upper_case(file: SqlFile) -> Iterator[Finding]:
    """UPPER keywords, lower_case names."""
    for tokens in file.tokens():
        for token, line in tokens:
            if token.kind == "word" and token.text in _KEYWORDS:
                yield Finding(file.path, line, f"write {token.text.upper()} in upper case")


#: The rules for one file; add one by writing a function and naming it here.
RULES: tuple[Callable[[SqlFile], Iterator[Finding]], ...] = (
    opens_with_a_comment,
    has_no_tabs,
    creates_if_not_exists,
    names_no_database,
    has_no_set,
    writes_keywords_in_upper_case,
)


def lint(project_dir: Path) -> list[Finding]:
    """Every finding, by place; [] where all is well."""
    found: list[Finding] = []
    contracts = []
    for path in sorted((project_dir / "contracts").glob("*.yaml")):
        try:
            contracts.append(load(path))
        except ContractError as error:
            found.append(_placed(str(error), project_dir))
    files = list(_files(project_dir, found))
    readable = not found
    for file in files:
        for rule in RULES:
            found += rule(file)
    found += unreadable(files)
    if readable:  # these read all files at once
        try:
            found += check(Project.read(project_dir))
        except FileError as error:
            found.append(Finding(error.path, error.line, error.message))
        except ContractError as error:
            found.append(_placed(str(error), project_dir))
    try:
        found += [
            Finding(path.as_posix(), 1, "is not what its contract renders to: run `chctl contracts render`")
            for path in stale(contracts, project_dir)
        ]
    except ContractError as error:
        found.append(_placed(str(error), project_dir))
    found += routing(project_dir)
    return sorted(set(found))


def routing(project_dir: Path) -> Iterator[Finding]:
    """What is wrong with the routing files of the alert feeder."""
    for path in sorted((project_dir / "deploy" / "alerts").glob("*.yaml")):
        shown = path.relative_to(project_dir).as_posix()
        yield from (Finding(shown, 1, fault.removeprefix(f"{path}: ")) for fault in check_routing(path)[1])


def unreadable(files: list[SqlFile]) -> Iterator[Finding]:
    """Statements that ClickHouse cannot parse."""
    if not files:
        return
    engine = Scratch()
    try:
        for file in files:
            for statement in file.statements:
                try:
                    engine.query(f"EXPLAIN AST\n{statement.sql}")
                except ScratchError as error:
                    message = str(error)
                    if message.startswith("the engine ended"):
                        engine.close()
                        engine = Scratch()
                    place = _LINE.search(message)
                    line = statement.line + (int(place[1]) - 2 if place else 0)
                    yield Finding(file.path, line, _short(message))
    finally:
        engine.close()


def _files(project_dir: Path, found: list[Finding]) -> Iterator[SqlFile]:
    """Every SQL file that can be read at all; what is wrong with the others goes to `found`."""
    paths = sorted((project_dir / "migrations").glob("*.sql")) + sorted((project_dir / "views").rglob("*.sql"))
    for path in paths:
        shown = path.relative_to(project_dir).as_posix()
        try:
            text, _ = read_sql(path, shown)
            parts = tuple(statements(text))
            if shown.startswith("views/"):
                read_view(path, project_dir)
        except FileError as error:
            found.append(Finding(error.path, error.line, error.message))
        except SqlError as error:
            found.append(Finding(shown, error.line, str(error)))
        else:
            yield SqlFile(shown, text, parts)


def _placed(message: str, project_dir: Path) -> Finding:
    path, line, text = message.removeprefix(f"{project_dir}/").split(":", 2)
    return Finding(path, int(line), text.strip())


def _short(message: str) -> str:
    """ClickHouse's error in one line, without the list of every token that could have followed."""
    text = re.sub(r"^Code: \d+\. DB::Exception: ", "", message)
    text = re.sub(r"\. Expected one of: .*", "", text, flags=re.DOTALL)
    return " ".join(text.split())[:300]
