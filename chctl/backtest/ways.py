"""The way of rows to a rule on the node, and on from its signals to alerts: what a backtest has to make anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from chctl.migrate import MigrateError
from chctl.node_state import Live
from chctl.sqltext import ObjectDef

#: Where alerts end.
OUTBOX = "alerts"


@dataclass(frozen=True)
class Way:
    """How rows reach a rule: the stored table they start from and the views between, the rule's own last."""

    source: str
    views: tuple[ObjectDef, ...]


@dataclass(frozen=True)
class Lifecycle:
    """From a rule's signals to alerts: views that signals trigger, in order, and refreshed ones, which end alerts."""

    triggered: tuple[ObjectDef, ...] = ()
    refreshed: tuple[ObjectDef, ...] = ()


def find_path(live: dict[str, Live], rule: ObjectDef) -> Way:
    """From the rule's trigger up to the stored table that its rows come from. Raises MigrateError."""
    writers = [d for o in live.values() if o.engine == "MaterializedView" and (d := o.definition()).kind == "mv"]
    trigger = rule.trigger or ""
    if trigger not in live:
        raise MigrateError(f"{rule.name} is triggered by {trigger}, which the node has not: run `chctl migrate`")

    def up(table: str, below: tuple[ObjectDef, ...]) -> Way | None:
        """The way from a stored table down to `table`, then `below`."""
        if table not in live or any(view.trigger == table for view in below[1:]):
            return None
        if "MergeTree" in live[table].engine:
            return Way(table, below)
        above = (up(str(d.trigger), (d, *below)) for d in writers if d.target == table)
        found = next((way for way in above if way is not None), None)
        beside = stored_beside(live, table, {view.target for view in below})
        return found or (Way(beside[0], below) if beside else None)

    way = up(trigger, (rule,))
    if way is None:
        raise MigrateError(f"nothing on the node stores the rows of {trigger}: {rule.name} cannot be run over history")
    return way


def find_lifecycle(live: dict[str, Live], rule: ObjectDef) -> Lifecycle:
    """What makes alerts of the rule's rows; empty for a rule that writes alerts itself. Raises MigrateError."""
    if rule.target == OUTBOX:
        return Lifecycle()
    views = [o.definition() for o in live.values() if o.engine == "MaterializedView"]

    def down(table: str, above: tuple[ObjectDef, ...]) -> tuple[ObjectDef, ...] | None:
        if table == OUTBOX:
            return above
        for view in views:
            if view.kind == "mv" and view.trigger == table and view not in above and view.target:
                found = down(view.target, (*above, view))
                if found is not None:
                    return found
        return None

    triggered = down(rule.target or "", ())
    if triggered is None:
        raise MigrateError(f"nothing on the node makes alerts of {rule.target}, which {rule.name} writes")
    ends = [v for v in views if v.kind == "refreshable" and v.target == OUTBOX and rule.target in v.reads]
    return Lifecycle(triggered, tuple(sorted(ends, key=lambda v: v.name)))


def stored_beside(live: dict[str, Live], table: str, below: Collection[str | None]) -> list[str]:
    """Stored tables that keep the rows of a Null table as they are, the one with the most columns first."""
    if live[table].engine != "Null":
        return []
    have = {name for name, _ in live[table].definition().columns}
    found: list[tuple[int, str]] = []
    for other in live.values():
        if other.engine != "MaterializedView":
            continue
        definition = other.definition()
        target = live.get(definition.target or "")
        if definition.trigger != table or target is None or target.name in below:
            continue
        if "ReplacingMergeTree" not in target.engine:
            continue
        shared = have & {name for name, _ in target.definition().columns}
        if len(shared) * 2 > len(have):
            found.append((-len(shared), target.name))
    return [name for _, name in sorted(found)]
