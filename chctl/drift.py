"""`chctl drift`: live objects that differ from what the files made of them, and `chctl adopt`, which takes one over.

What the node shows now is compared with what it showed right after chctl applied the file, both as the server writes
them, so that nothing differs but what somebody changed. An object that chctl never applied is compared with its file,
through the server's own formatQuery.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.schema_dump import normalize_statement, quote_string

from chctl.bookkeeping import Applied, Book, utc_now, whoami
from chctl.changes import Live, same_sql
from chctl.migrate import MigrateError
from chctl.node_state import live_objects, opened
from chctl.project import Project
from chctl.settings import Settings
from chctl.sqltext import ObjectDef, parse_object
from chctl.views import View, read_view


@dataclass(frozen=True)
class Drift:
    """One object that is not as its file says."""

    object: str
    state: str  # changed | missing | unmanaged
    path: str
    diff: str = ""


def drift(
    settings: Settings, names: Collection[str] = (), *, open_client: Callable[[], Client] | None = None
) -> list[Drift]:
    """Objects of views/ that differ from the node, by name; `names` limits them. Changes nothing.

    Raises MigrateError on a name that neither the files nor the node know."""
    project = Project.read(settings.project_dir)
    database = settings.clickhouse_database
    with opened(settings, open_client) as client:
        book = Book(client, database)
        applied = book.objects()
        live = live_objects(client, database)
        files = {v.name: v for v in project.views}
        if unknown := set(names) - {*files, *applied, *live}:
            raise MigrateError(f"neither {database} nor views/ has {', '.join(sorted(unknown))}")
        found = []
        for name in sorted({*files, *applied, *live}):
            if names and name not in names:
                continue
            one = _compare(client, database, name, files.get(name), applied.get(name), live)
            if one is not None:
                found.append(one)
    return found


def _compare(
    client: Client, database: str, name: str, view: View | None, applied: Applied | None, live: dict[str, Live]
) -> Drift | None:
    now = live.get(name)
    if applied is not None and now is None:
        return Drift(name, "missing", applied.path)
    if now is None:
        return None  # a file that is not applied yet: that is for `chctl plan`
    if applied is not None:
        if same_sql(applied.live_sql, now.create_sql):
            return None
        return Drift(name, "changed", applied.path, _diff(client, database, applied.live_sql, now, applied.path, live))
    if view is not None:
        wanted, shown = comparable(view.definition), comparable(now.definition())
        if _format(client, database, wanted, live) == _format(client, database, shown, live):
            return None
        return Drift(name, "changed", view.path, _diff(client, database, view.definition.sql, now, view.path, live))
    if now.engine in ("View", "MaterializedView", "Dictionary") and not name.startswith((".inner", "schema_")):
        return Drift(name, "unmanaged", "", now.create_sql)
    return None


def comparable(definition: ObjectDef) -> str:
    """A definition without what the server adds by itself: the column list of a view."""
    if definition.kind == "view":
        return f"CREATE VIEW {definition.name} AS {definition.query}"
    if definition.kind in ("mv", "refreshable"):
        refresh = f" REFRESH {definition.refresh}" if definition.refresh else ""
        return f"CREATE MATERIALIZED VIEW {definition.name}{refresh} TO {definition.target} AS {definition.query}"
    columns = ", ".join(f"`{name}` {declaration}" for name, declaration in definition.columns)
    kind = "DICTIONARY" if definition.kind == "dictionary" else "TABLE"
    engine = "" if kind == "DICTIONARY" else "ENGINE = "
    return f"CREATE {kind} {definition.name} ({columns}) {engine}{definition.engine_clause}"


def _format(client: Client, database: str, sql: str, live: Collection[str]) -> str:
    """SQL as the server writes it, its own database left out."""
    bare = normalize_statement(sql.rstrip("; \n"), database, set(live), False).text
    return str(client.query(f"SELECT formatQuery({quote_string(bare)})").result_rows[0][0])


def _as_in_files(sql: str) -> str:
    """What the server formatted, in the style of views/, so that `git diff` shows the edit alone."""
    sql = re.sub(r"\A(CREATE (?:MATERIALIZED VIEW|VIEW|TABLE|DICTIONARY)) ", r"\1 IF NOT EXISTS ", sql)
    return re.sub(r"\nAS (SELECT|WITH)\b", r" AS\n\1", sql, count=1) + ";\n"


def _diff(client: Client, database: str, before: str, now: Live, path: str, live: Collection[str]) -> str:
    old = _format(client, database, comparable(parse_object(before)), live)
    new = _format(client, database, comparable(now.definition()), live)
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), path, "node", lineterm="", n=3))


def adopt(settings: Settings, name: str, *, open_client: Callable[[], Client] | None = None) -> Path | None:
    """Write the live definition of an object into its file and record it as applied; the file's path.

    The file's opening comment stays. An object without a file gets one in views/. None, and nothing written, where the
    object is as its file made it. Raises MigrateError where the node has no such object.
    """
    project = Project.read(settings.project_dir)
    database = settings.clickhouse_database
    with opened(settings, open_client) as client:
        live = live_objects(client, database)
        now = live.get(name)
        if now is None:
            raise MigrateError(f"{database} has no object {name}: see `chctl drift`")
        view = next((v for v in project.views if v.name == name), None)
        book = Book(client, database)
        applied = book.objects().get(name)
        if view is not None and applied is not None and _compare(client, database, name, view, applied, live) is None:
            return None
        path = settings.project_dir / (view.path if view else f"views/{name}.sql")
        comment = view.comment if view else f"-- {name}: taken over from the node."
        sql = _format(client, database, comparable(now.definition()), live)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{comment}\n{_as_in_files(sql)}" if comment else _as_in_files(sql), encoding="utf-8")
        fresh = read_view(path, settings.project_dir)
        book.create()
        book.record(
            Applied(
                name,
                fresh.definition.kind,
                fresh.path,
                fresh.sha256,
                fresh.definition.sql,
                now.create_sql,
                whoami(),
                0.0,
                utc_now(),
            )
        )
    return path


def show(found: list[Drift]) -> str:
    """Drift in words."""
    lines = []
    for one in found:
        lines.append(f"{one.state} {one.object}" + (f" ({one.path})" if one.path else ""))
        lines += [f"  {line}" for line in one.diff.splitlines()]
    if not found:
        return "the node is as the files made it"
    lines.append("keep a live edit: `chctl adopt OBJECT`; go back to the file: `chctl migrate --overwrite OBJECT`")
    return "\n".join(lines)
