"""The files of views/: one object a file, named for it, read from disk and put into the order they are applied in.

The order comes from what each statement reads and writes, not from names:

1. an object follows everything it reads (a view, a dictionary, a table that is also a file);
2. a materialized view precedes the ones that write the table it is triggered by, also through a Buffer. Readers are
   attached before rows can arrive: `<topic>_parsed_mv`, without which nothing is read from Kafka, therefore comes last
   of its family.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from chctl.sqltext import ObjectDef, SqlError, parse_object, statements

#: A view of more than this is something else that got a `.sql` name.
MAX_FILE_BYTES = 1_000_000


class FileError(Exception):
    """A file of the project that cannot be used; prints as `path:line: message`."""

    def __init__(self, path: Path | str, message: str, line: int = 1) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path, self.message, self.line = str(path), message, line


@dataclass(frozen=True)
class View:
    """One file of views/."""

    path: str  # relative to the project, with forward slashes
    sha256: str
    definition: ObjectDef
    comment: str  # the file's opening comment
    line: int = 1  # of the CREATE

    @property
    def name(self) -> str:
        return self.definition.name


def read_sql(path: Path, shown: str) -> tuple[str, bytes]:
    """The text of a SQL file, or FileError saying what is wrong with it and how to mend it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(shown, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise FileError(shown, f"{len(raw)} bytes: no SQL file of this project is larger than {MAX_FILE_BYTES}")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise FileError(shown, "starts with a byte order mark: save it as UTF-8 without BOM")
    if b"\0" in raw:
        raise FileError(shown, "holds binary data (a zero byte)", raw.count(b"\n", 0, raw.index(b"\0")) + 1)
    if b"\r" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\r")) + 1
        raise FileError(
            shown, "has Windows line ends (CRLF): save it with LF, for example by `sed -i 's/\\r$//'`", line
        )
    try:
        return raw.decode("utf-8"), raw
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(shown, f"is not UTF-8: {error.reason} at byte {error.start}", line) from error


def read_view(path: Path, project_dir: Path) -> View:
    """Read one file of views/. Raises FileError."""
    if not path.is_relative_to(project_dir):
        raise FileError(path.as_posix(), f"is not a file of the project {project_dir}")
    shown = path.relative_to(project_dir).as_posix()
    text, raw = read_sql(path, shown)
    try:
        found = statements(text)
    except SqlError as error:
        raise FileError(shown, str(error), error.line) from error
    if len(found) != 1:
        line = found[1].line if found else 1
        raise FileError(shown, f"holds {len(found)} statements: a file of views/ holds one object", line)
    try:
        definition = parse_object(found[0].sql)
    except SqlError as error:
        raise FileError(shown, str(error), found[0].line) from error
    if definition.name != path.stem:
        raise FileError(shown, f"creates {definition.name}: name the file {definition.name}.sql", found[0].line)
    return View(shown, hashlib.sha256(raw).hexdigest(), definition, found[0].comment, found[0].line)


def load_views(project_dir: Path) -> list[View]:
    """Every file of views/, by path. Raises FileError on the first that cannot be used."""
    views = [read_view(path, project_dir) for path in sorted((project_dir / "views").rglob("*.sql"))]
    seen: dict[str, View] = {}
    for view in views:
        if view.name in seen:
            raise FileError(view.path, f"{view.name} is also defined in {seen[view.name].path}")
        seen[view.name] = view
    return views


def apply_order(views: Iterable[View], relays: Mapping[str, str] | None = None) -> list[View]:
    """Sort views so that what is read exists and readers are attached before writers. Raises FileError on a cycle.

    `relays`: Buffer table -> the table it passes rows on to.
    """
    relays = relays or {}
    by_name = {view.name: view for view in views}
    after: dict[str, set[str]] = {name: set() for name in by_name}
    for name, view in by_name.items():
        definition = view.definition
        after[name] |= (definition.reads | {definition.target or name}) & by_name.keys() - {name}
    hard = {name: set(before) for name, before in after.items()}
    triggered: dict[str, set[str]] = {}
    for name, view in by_name.items():
        if view.definition.kind == "mv" and view.definition.trigger:
            triggered.setdefault(view.definition.trigger, set()).add(name)
    for name, view in by_name.items():
        if view.definition.kind in ("mv", "refreshable") and view.definition.target:
            filled = relays.get(view.definition.target, view.definition.target)
            after[name] |= triggered.get(filled, set()) - {name}
    try:
        return [by_name[name] for name in _stable(after)]
    except CycleError:
        pass  # a materialized view that feeds itself round a loop: what is read still comes first
    try:
        return [by_name[name] for name in _stable(hard)]
    except CycleError as error:
        cycle = error.args[1]
        raise FileError(by_name[cycle[0]].path, "objects read each other: " + " -> ".join(cycle)) from error


def _stable(after: dict[str, set[str]]) -> list[str]:
    """A topological order that is the same on every run: by name among those that are free."""
    sorter = TopologicalSorter(after)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
