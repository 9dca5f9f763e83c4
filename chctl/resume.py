"""Where a run that died had stopped, read from `schema_history`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chctl.bookkeeping import Book, HistoryRow
from chctl.project import MigrationFile


@dataclass
class ResumePoint:
    """What unfinished runs of the pending migrations have left behind."""

    done: set[tuple[str, str, int]] = field(default_factory=set)  # (number, md5, step) that need not run again
    stopped: list[HistoryRow] = field(default_factory=list)  # started and never ended, or failed


def interrupted(book: Book) -> list[HistoryRow]:
    """Statements that never ended or failed, and whose file was not applied as a whole since."""
    last = {(row.object, row.path, row.step): row for row in book.history()}
    settled = book.last_recorded() | {row.object: row.started_at for row in last.values() if row.step == 0}
    return [
        row
        for row in last.values()
        if row.state in ("started", "failed") and row.started_at > settled.get(row.object, "")
    ]


def read_resume_point(book: Book, pending: Iterable[MigrationFile]) -> ResumePoint:
    """Look at the history of `pending` since each was last applied or rolled back as a whole."""
    wanted = {(str(m.version), m.md5) for m in pending}
    point = ResumePoint()
    last: dict[tuple[str, int], HistoryRow] = {}
    for row in book.history("kind IN ('migration', 'rollback')"):
        if row.kind == "rollback" or row.step == 0:
            point.done = {d for d in point.done if d[0] != row.object}
            last = {key: r for key, r in last.items() if key[0] != row.object}
        elif (row.object, row.sha256) in wanted:
            last[row.object, row.step] = row
            if row.state == "done":
                point.done.add((row.object, row.sha256, row.step))
    point.stopped = [row for row in last.values() if row.state in ("started", "failed")]
    return point
