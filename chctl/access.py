"""`chctl access apply`: runs deploy/clickhouse/access.sql with the hashes of passwords that stand in files."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from chctl.sqltext import SqlError, statements

ERRORS = (Error, SqlError, OSError)

_PLACEHOLDER = re.compile(r"\$(\w+)")
#: Where users made by statements could be kept; the embedded engine has users of a file alone.
_STORAGES = "SELECT count() FROM system.user_directories WHERE type != 'users_xml'"


@dataclass
class Plan:
    """Statements with their hashes in place; and users that are left out because they have no password."""

    statements: list[str] = field(default_factory=list)
    without_password: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass
class Report:
    """What was done."""

    applied: int = 0
    skipped: int = 0
    notices: list[str] = field(default_factory=list)


def secrets_folder() -> Path | None:
    """Where the passwords are: CHCTL_SECRETS_DIR, or systemd's credentials."""
    folder = os.environ.get("CHCTL_SECRETS_DIR") or os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def read(path: Path, secrets: Path | None) -> Plan:
    """The file's statements, `$user` replaced by the SHA-256 of the password in the file `user` of `secrets`.

    Statements that name a user without a password are left out: nobody gets in by an empty one. Raises OSError and
    SqlError.
    """
    every = [one.sql for one in statements(path.read_text())]
    users = sorted({name for sql in every for name in _PLACEHOLDER.findall(sql)})
    hashes = {}
    for user in users:
        file = secrets / user if secrets else None
        password = file.read_text().strip() if file and file.is_file() else ""
        if password:
            hashes[user] = hashlib.sha256(password.encode()).hexdigest()
    plan = Plan(without_password=[user for user in users if user not in hashes])
    for sql in every:
        if any(re.search(rf"\b{user}\b", sql) for user in plan.without_password):
            plan.left_out += 1
        else:
            plan.statements.append(_PLACEHOLDER.sub(lambda found: hashes[found[1]], sql))
    return plan


def apply(client: Client, plan: Plan) -> Report:
    """Run the statements; on an engine that keeps no users none runs, and a notice says so.

    Raises clickhouse_connect's errors where the server refuses one: what was done before it holds, and may be repeated.
    """
    if not client.command(_STORAGES):
        notice = (
            "this engine keeps no users (the embedded node): everything is skipped; use a ClickHouse server for roles"
        )
        return Report(skipped=len(plan.statements) + plan.left_out, notices=[notice])
    report = Report(skipped=plan.left_out)
    if plan.without_password:
        report.notices.append(f"left out, no password in CHCTL_SECRETS_DIR: {', '.join(plan.without_password)}")
    for sql in plan.statements:
        client.command(sql)
        report.applied += 1
    return report
