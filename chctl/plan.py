"""What `chctl migrate` would do: pending migrations and changed files of views/, each as statements.

Looks only; the node, its bookkeeping included, is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_migrations.migration import Migration

from chctl.bookkeeping import Book
from chctl.changes import Change, Live, RefusedError, change_of
from chctl.node_state import describe, live_objects, object_names, table_columns
from chctl.views import View, apply_order


@dataclass
class Plan:
    """Everything a run would do, in order."""

    migrations: list[Migration] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.migrations or self.changes or self.refusals)


def plan_views(client: Client, database: str, views: list[View], book: Book | None) -> tuple[list[Change], list[str]]:
    """Changes of views/ in the order they are applied in, and what is refused."""
    applied = book.objects() if book is not None else {}
    existing = object_names(client, database)
    touched = [
        v for v in views if v.name not in existing or v.name not in applied or applied[v.name].sha256 != v.sha256
    ]
    if not touched:
        return [], []
    changed = [v for v in apply_order(views) if v in touched]
    live = live_objects(client, database, {v.name for v in changed})
    columns = table_columns(client, database, {v.definition.target for v in changed if v.definition.target})
    changes, refusals = [], []
    for view in changed:
        try:
            output = describe(client, view.definition.query) if _alters_query(view, live) else {}
            target = columns.get(view.definition.target or "", output)
            change = change_of(view, live.get(view.name), applied.get(view.name), target, output)
        except RefusedError as error:
            refusals.append(str(error))
        except ClickHouseError as error:
            refusals.append(f"{view.path}:1: {str(error).strip()}")
        else:
            if change is not None:
                changes.append(change)
    return changes, refusals


def _alters_query(view: View, live: dict[str, Live]) -> bool:
    return view.definition.kind in ("mv", "refreshable") and view.name in live
