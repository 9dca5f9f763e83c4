"""Statements of a migration that not every engine can run.

An engine may be built without a feature that the schema can do without, as the embedded one is without HNSW indexes.
The statement then names the words of the refusal, in a comment of its own; where it is refused with them it is skipped,
with a notice, and stands as skipped in `chctl history`. Any other error stops the run as ever:

    -- optional: Unknown Index type
    ALTER TABLE ...
"""

from __future__ import annotations

import re

from chctl.sqltext import Statement

_OPTIONAL = re.compile(r"^--\s*optional:\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)


def refusal(statement: Statement) -> str:
    """The words with which an engine may refuse this statement; empty where it has to run."""
    found = _OPTIONAL.search(statement.comment)
    return found[1].strip() if found else ""
