"""Every rule that operations can tune is somebody's, and says what to do first."""

from __future__ import annotations

import re

from chctl.settings import PROJECT_DIR


def test_every_rule_has_an_owner_and_a_first_step() -> None:
    rules: set[str] = set()
    owned: dict[str, tuple[str, str]] = {}
    for path in (PROJECT_DIR / "migrations").glob("*.sql"):
        for statement in path.read_text().split(";\n"):
            if "INSERT INTO alert_rules " in statement:
                rules |= set(re.findall(r"^\s*\('(\w+)', '\*', ", statement, re.MULTILINE))
            if "INSERT INTO rule_owners " in statement:
                rows = re.findall(r"^\s*\('(\w+)', '([^']*)', '[^']*', '((?:[^']|'')+)', ", statement, re.MULTILINE)
                owned |= {rule: (owner, runbook) for rule, owner, runbook in rows}
    assert "liquidity_drop" in rules
    assert {rule for rule in rules if not all(owned.get(rule, ("", "")))} == set()
