"""The files of a project: migrations/, views/ and contracts/, read and checked for being usable at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clickhouse_migrations.migration import DOWN_SUFFIX, Migration

from chctl.sqltext import SqlError, Statement, parse_object, relayed_to, statements
from chctl.views import FileError, View, load_views, read_sql

if TYPE_CHECKING:
    from chctl.contracts import Contract

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+(\.down)?\.sql")


@dataclass(frozen=True)
class MigrationFile:
    """One file of migrations/."""

    path: str  # relative to the project
    version: int
    md5: str  # as clickhouse-migrations computes and stores it
    script: str
    statements: tuple[Statement, ...]
    down: str | None = None  # path of its .down.sql, if there is one
    down_statements: tuple[Statement, ...] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name

    @cached_property
    def migration(self) -> Migration:
        """As clickhouse-migrations takes it."""
        return Migration(self.version, self.md5, self.script)


@dataclass
class Project:
    """The files a run works from."""

    dir: Path
    migrations: list[MigrationFile]
    views: list[View]

    @cached_property
    def contracts(self) -> dict[str, Contract]:
        """Contracts by topic, read when they are first asked for. Raises ContractError."""
        from chctl.contracts import load_all  # YAML costs more than all the rest of a run with nothing to do

        if not (self.dir / "contracts").is_dir():
            return {}
        return {c.topic: c for c in load_all(self.dir / "contracts")}

    @cached_property
    def relays(self) -> dict[str, str]:
        """Buffer table -> the table that it passes rows on to, as migrations/ say."""
        return relays(s for migration in self.migrations for s in migration.statements)

    @classmethod
    def read(cls, project_dir: Path) -> Project:
        """Read migrations/ and views/. Raises FileError on a file that cannot be used."""
        if not (project_dir / "migrations").is_dir():
            raise FileError(f"{project_dir}/migrations", "does not exist: point CHCTL_PROJECT_DIR at a project")
        return cls(project_dir, read_migrations(project_dir), load_views(project_dir))


def relays(found: Iterable[Statement]) -> dict[str, str]:
    """Buffer table -> the table that it passes rows on to."""
    buffers = {}
    for statement in found:
        if re.search(r"\bBuffer\s*\(", statement.sql):
            definition = parse_object(statement.sql)
            if definition.engine == "Buffer":
                buffers[definition.name] = relayed_to(definition)
    return buffers


def read_migrations(project_dir: Path) -> list[MigrationFile]:
    """The files of migrations/ by number. Raises FileError."""
    found: dict[int, MigrationFile] = {}
    downs = {p.name.removesuffix(DOWN_SUFFIX): p for p in (project_dir / "migrations").glob(f"*{DOWN_SUFFIX}")}
    for path in sorted((project_dir / "migrations").glob("*.sql")):
        shown = path.relative_to(project_dir).as_posix()
        name = _NAME.fullmatch(path.name)
        if name is None:
            raise FileError(shown, "is not named NNNN_verb_object.sql, such as 0003_create_trades.sql")
        text, raw = read_sql(path, shown)
        if path.name.endswith(DOWN_SUFFIX):
            continue
        parsed = _statements(text, shown)
        version = int(name[1])
        if version in found:
            raise FileError(shown, f"number {version:04d} is also used by {found[version].path}: renumber one of them")
        down = downs.pop(path.stem, None)
        undo = down.relative_to(project_dir).as_posix() if down else None
        found[version] = MigrationFile(
            shown,
            version,
            hashlib.md5(raw, usedforsecurity=False).hexdigest(),
            text,
            parsed,
            undo,
            _statements(read_sql(down, undo)[0], undo) if down and undo else (),
        )
    for stray in downs.values():
        raise FileError(stray.relative_to(project_dir).as_posix(), "undoes no migration: no .sql file of that name")
    return [found[version] for version in sorted(found)]


def _statements(text: str, shown: str) -> tuple[Statement, ...]:
    """The statements of a migration, at least one. Raises FileError."""
    try:
        parsed = tuple(statements(text))
    except SqlError as error:
        raise FileError(shown, str(error), error.line) from error
    if not parsed:
        raise FileError(shown, "holds no statement")
    return parsed
