"""Whether a statement of a migration may run twice.

A run that dies between a statement and its record runs that statement again, so each has to give the same result the
second time: `IF NOT EXISTS`, `IF EXISTS`, `OR REPLACE`. One that cannot be written so carries a waiver, a comment of
its own with a reason; after a crash chctl then asks instead of running it again:

    -- not idempotent: fills the table once, from a file that is gone afterwards
    INSERT INTO ...
"""

from __future__ import annotations

import re

from chctl.sqltext import Statement, significant, split_commas, word

_WAIVER = re.compile(r"^--\s*not idempotent:\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)
#: ALTER commands that add or remove something, and the words that make them repeatable.
_GUARDED = {"ADD": "IF NOT EXISTS", "DROP": "IF EXISTS", "CLEAR": "IF EXISTS", "RENAME": "IF EXISTS"}
_GUARDED_OBJECTS = {"COLUMN", "INDEX", "PROJECTION", "CONSTRAINT", "STATISTICS"}
#: ALTER commands that end in the same state however often they run.
_REPEATABLE_ALTERS = {"MODIFY", "MATERIALIZE", "DELETE", "RESET", "COMMENT", "ALTER", "REMOVE", "APPLY"}
_REPEATABLE = {"OPTIMIZE", "TRUNCATE", "SYSTEM", "GRANT", "REVOKE", "DELETE", "SELECT", "CHECK"}


def waiver(statement: Statement) -> str | None:
    """The reason given for a statement that is not idempotent, or None."""
    found = _WAIVER.search(statement.comment)
    return found[1].strip() if found else None


def why_not_idempotent(sql: str) -> str | None:
    """What a second run of the statement would break and how to write it instead; None where it may run twice."""
    tokens = significant(sql)
    first = word(tokens[0]) if tokens else ""
    head = " ".join(word(t) for t in tokens[:12])
    if first == "CREATE" and "TABLE" in head.split() and re.search(r"\bAS\s*\(?\s*(SELECT|WITH)\b", sql, re.IGNORECASE):
        return "a second CREATE TABLE ... AS SELECT leaves a half-filled table: write CREATE, then INSERT"
    if first == "CREATE":
        return None if "IF NOT EXISTS" in head or "OR REPLACE" in head else "write CREATE ... IF NOT EXISTS"
    if first == "DROP":
        if word(tokens[1]) == "NAMED" and "IF EXISTS" not in head:
            return "write DROP NAMED COLLECTION IF EXISTS"
        return None if "IF EXISTS" in head else "write DROP ... IF EXISTS"
    if first == "ALTER" and word(tokens[1]) == "TABLE":
        return next((reason for c in alter_commands(sql) if (reason := _alter_command(c))), None)
    if first in _REPEATABLE:
        return None
    why = {
        "INSERT": "a second INSERT doubles the rows",
        "RENAME": "a second RENAME fails: the old name is gone",
        "EXCHANGE": "a second EXCHANGE swaps the two back",
        "SET": "a standalone SET does not reach the next statement: use a SETTINGS clause",
    }
    return why.get(first, f"{first or 'this'} is not known to be repeatable")


def alter_commands(sql: str) -> list[str]:
    """The comma-separated commands of an ALTER TABLE."""
    match = re.match(
        r"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?\S+(?:\s+ON\s+CLUSTER\s+\S+)?\s+(.*)", sql.rstrip("; \n"), re.I | re.S
    )
    if match is None:
        return []
    if re.match(r"MODIFY\s+(QUERY|ORDER|SETTING|REFRESH|TTL)\b", match[1], re.I):
        return [match[1]]  # commas inside belong to the clause
    return split_commas(match[1])


def _alter_command(command: str) -> str | None:
    tokens = significant(command)
    verb, subject = word(tokens[0]), word(tokens[1]) if len(tokens) > 1 else ""
    if verb in _GUARDED and subject in _GUARDED_OBJECTS:
        guard = _GUARDED[verb]
        words = [word(t) for t in tokens[2:5]]
        return None if words[: len(guard.split())] == guard.split() else f"write {verb} {subject} {guard}"
    if verb == "DROP" and subject in ("PARTITION", "PART", "DETACHED"):
        return None
    if verb in _REPEATABLE_ALTERS:
        return None
    if verb == "UPDATE":
        return "an UPDATE that runs twice may compute from its own result"
    return f"{verb} {subject} is not known to be repeatable"
