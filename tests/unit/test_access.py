"""`chctl access apply`: statements that ClickHouse takes, roles that reach what they need, no empty password."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from chctl import access, tune
from chctl.node.run import NodeProcess
from chctl.scratch import Scratch, ScratchError
from chctl.settings import PROJECT_DIR
from chctl.sqltext import statements
from feeders.alerting import outbox

FILE = PROJECT_DIR / "deploy" / "clickhouse" / "access.sql"
USERS = ["chctl_analyst", "chctl_auditor", "chctl_doctor", "chctl_feeder", "chctl_grafana", "chctl_migrator"]
PERSONAL = {"user_id", "counterparty_id", "address_hash", "ip_prefix"}


@pytest.fixture(scope="module")
def objects() -> dict[str, tuple[str, str]]:
    """Every table, view and dictionary of the project: its kind, and its SQL without comments."""
    found = {}
    for path in [*PROJECT_DIR.glob("migrations/*.sql"), *PROJECT_DIR.glob("views/**/*.sql")]:
        for one in statements(path.read_text()):
            sql = re.sub(r"--.*", "", one.sql)
            head = re.match(r"CREATE (MATERIALIZED VIEW|TABLE|VIEW|DICTIONARY) IF NOT EXISTS (\w+)", sql)
            if head:
                found[head[2]] = (head[1], sql)
    return found


def _reads(
    objects: dict[str, tuple[str, str]], roots: list[str], through: tuple[str, ...] = ("VIEW", "DICTIONARY")
) -> set[str]:
    """The tables and views behind these views and dictionaries, themselves included."""
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            kind, sql = objects[name]
            if kind in through:
                todo += {word for word in re.findall(r"\w+", sql) if word in objects}
    return seen


def _granted(role: str) -> dict[str, set[str]]:
    """Table -> privileges, of GRANT ... ON chctl.<table> TO role."""
    found: dict[str, set[str]] = {}
    for one in statements(FILE.read_text()):
        grant = re.match(rf"GRANT (.+) ON chctl\.(\S+) TO {role}$", one.sql, re.DOTALL)
        if grant:
            found.setdefault(grant[2], set()).update(re.split(r",\s*(?![^(]*\))", grant[1]))
    return found


def test_clickhouse_understands_every_statement() -> None:
    with Scratch() as engine:
        for one in statements(FILE.read_text()):
            engine.query(f"EXPLAIN AST {one.sql}")
        with pytest.raises(ScratchError, match="cannot be granted"):  # it would have found a privilege of a wrong level
            engine.query("EXPLAIN AST GRANT SYSTEM RELOAD DICTIONARY ON chctl.* TO chctl_role_migrator")


def test_every_table_that_is_granted_exists(objects: dict[str, tuple[str, str]]) -> None:
    named = set(re.findall(r"\bON chctl\.(\w+)\b(?!\*)", FILE.read_text())) - {"dash_"}
    assert named - set(objects) == set()


def test_grafana_may_read_what_its_views_read_and_nothing_else(objects: dict[str, tuple[str, str]]) -> None:
    dashboards = [name for name in objects if name.startswith("dash_")]
    read = {name for name in _reads(objects, dashboards, through=("VIEW",)) if not name.startswith("dash_")}
    dictionaries = {name for name in read if objects[name][0] == "DICTIONARY"}  # loaded by the server, not by who asks
    granted = _granted("chctl_role_grafana")
    assert granted.pop("*") == {"SHOW TABLES", "SHOW DICTIONARIES"}
    asked = {name: {"dictGet"} if name in dictionaries else {"SELECT"} for name in read}
    assert granted == asked | {"dash_*": {"SELECT"}}, "grant each in access.sql, or take it away"
    system = {name for view in dashboards for name in re.findall(r"\bsystem\.(\w+)", objects[view][1])}
    text = FILE.read_text()
    assert set(re.findall(r"GRANT SELECT ON system\.(\w+) TO chctl_role_grafana", text)) == system


def test_the_alert_feeder_may_read_what_its_questions_read(objects: dict[str, tuple[str, str]]) -> None:
    """A question that the node refuses is one that it does not answer: nothing would be silenced, nothing repeated."""
    questions = "\n".join(value for name, value in vars(outbox).items() if name.isupper() and isinstance(value, str))
    asked = sorted(set(re.findall(r"(?:FROM|JOIN)\s+(\w+)", questions)) & objects.keys())
    assert {"alerts", "alerts_due", "alerts_held", "rule_owners", "user_orders"} <= set(asked)
    granted = _granted("chctl_role_feeder")
    for name in _reads(objects, asked, through=("VIEW",)):
        verb = "dictGet" if objects[name][0] == "DICTIONARY" else "SELECT"
        assert verb in {privilege.split("(")[0] for privilege in granted.get(name, set())}, name


def test_an_analyst_sees_no_column_that_says_whose_order_it_is(objects: dict[str, tuple[str, str]]) -> None:
    granted = _granted("chctl_role_analyst")
    for table, privileges in granted.items():
        for privilege in privileges:
            columns = re.fullmatch(r"SELECT(?:\((.+)\))?", privilege)
            assert columns, f"{table}: {privilege}"
            if columns[1]:
                named = set(re.findall(r"\w+", columns[1]))
                assert named & PERSONAL == set(), table
                assert named <= set(re.findall(r"`(\w+)`", objects[table][1])), table
            elif table != "alerts":  # its rows about accounts are held back by a policy
                sql = " ".join(objects[name][1] for name in _reads(objects, [table]) - {"alerts"})
                assert set(re.findall(r"\w+", sql)) & PERSONAL == set(), table
    assert re.search(
        r"CREATE ROW POLICY .* ON chctl.alerts .* USING user_id = 0 TO chctl_role_analyst", FILE.read_text()
    )


def test_everybody_who_reads_has_limits_and_a_changed_limit_holds_on_a_server_that_has_the_old_one() -> None:
    text = FILE.read_text()
    for role in ("grafana", "analyst", "auditor", "doctor"):
        profile = re.search(rf"CREATE ROLE IF NOT EXISTS chctl_role_{role} SETTINGS PROFILE (\w+);", text)
        assert profile, role
        limits = re.search(rf"ALTER SETTINGS PROFILE {profile[1]} SETTINGS\n(.*?);", text, re.DOTALL)
        assert limits, role
        for name in ("readonly", "max_execution_time", "max_memory_usage", "max_threads", "max_result_rows"):
            assert re.search(rf"\b{name} = \d+", limits[1]), f"{profile[1]}: {name}"
    assert re.search(r"ALTER QUOTA chctl_people\s+KEYED BY user_name\s+FOR INTERVAL 1 HOUR MAX queries = \d+", text)
    assert "ALTER QUOTA chctl_people TO chctl_analyst, chctl_auditor;" in text
    # what IF NOT EXISTS would leave as it was is set by a statement of its own
    made = re.findall(r"CREATE (SETTINGS PROFILE|QUOTA|ROW POLICY) IF NOT EXISTS (\w+)(;|.* USING)", text)
    assert len(made) == 4
    for kind, name, _ in made:
        assert f"ALTER {kind} {name}" in text


def test_the_audit_view_tells_a_glance_from_an_export() -> None:
    (view,) = [one.sql for one in statements(FILE.read_text()) if "VIEW chctl_audit.queries" in one.sql]
    columns = "event_time, user, client_hostname, address, http_user_agent, query_kind, tables, read_rows, result_bytes"
    asked = [
        ("QueryFinish", 1, 10, "SELECT 1", 0),
        ("QueryFinish", 1, 10_001, "SELECT * FROM trades", 0),
        ("QueryFinish", 1, 0, "SELECT * FROM trades into  outfile 'x.csv'", 0),
        ("QueryFinish", 1, 0, "INSERT INTO FUNCTION s3('https://elsewhere/x') SELECT * FROM trades", 0),
        ("QueryFinish", 1, 0, "insert into table function remote('elsewhere', x) SELECT * FROM trades", 0),
        ("ExceptionBeforeStart", 1, 0, "BACKUP DATABASE chctl TO File('x')", 497),
        ("QueryFinish", 1, 0, "INSERT INTO alerts VALUES", 0),
        ("QueryStart", 1, 0, "not yet", 0),
        ("QueryFinish", 0, 10_001, "a part of another", 0),
    ]
    rows = ", ".join(str(row) for row in [(t, i, n, q.replace("'", "`"), c) for t, i, n, q, c in asked])
    log = (
        f"(SELECT *, {', '.join(f'NULL AS {name}' for name in columns.split(', '))} FROM VALUES("
        f"'type String, is_initial_query UInt8, result_rows UInt64, query String, exception_code Int32', {rows}))"
    )
    select = view.split(" AS\n", 1)[1].replace("system.query_log", log)
    with Scratch() as engine:
        found = {row["query"]: (int(row["exported"]), int(row["exception_code"])) for row in engine.rows(select)}
    assert found == {
        query.replace("'", "`"): (exported, code)
        for (*_, query, code), exported in zip(asked[:7], (0, 1, 1, 1, 1, 1, 0), strict=True)
    }


def test_only_the_migrator_changes_tables() -> None:
    reading = {"SELECT", "SHOW", "SHOW TABLES", "SHOW DICTIONARIES", "dictGet"}
    for role in ("feeder", "grafana", "analyst", "auditor", "doctor"):
        for table, privileges in _granted(f"chctl_role_{role}").items():
            verbs = {privilege.split("(")[0] for privilege in privileges}
            assert verbs <= (reading | {"INSERT"} if role == "feeder" else reading), f"{role} on {table}"


def test_the_servers_own_user_reads_what_dictionaries_read(objects: dict[str, tuple[str, str]]) -> None:
    dictionaries = [name for name, (kind, _) in objects.items() if kind == "DICTIONARY"]
    needed = {name for name in _reads(objects, dictionaries) if objects[name][0] != "DICTIONARY"}
    assert set(tune.DICTIONARY_SOURCES) == needed, "name them in chctl/tune.py, then `chctl tune`"


def test_passwords_become_hashes_and_a_user_without_one_is_left_out(tmp_path: Path) -> None:
    for user in USERS[1:]:
        (tmp_path / user).write_text(f"password of {user}\n")
    (tmp_path / "chctl_analyst").write_text("\n")
    plan = access.read(FILE, tmp_path)
    assert plan.without_password == ["chctl_analyst"]
    text = "\n".join(plan.statements)
    assert "$" not in text
    assert "password of" not in text
    for user in USERS[1:]:
        assert text.count(hashlib.sha256(f"password of {user}".encode()).hexdigest()) == 2
    assert not re.search(r"\bchctl_analyst\b", text)
    assert plan.left_out + len(plan.statements) == len(statements(FILE.read_text()))


def test_without_secrets_no_user_is_made() -> None:
    plan = access.read(FILE, None)
    assert plan.without_password == USERS
    assert not [sql for sql in plan.statements if "USER" in sql.split("(")[0].split()[:2]]


def test_the_embedded_node_skips_everything_and_says_so(node: NodeProcess) -> None:
    from chctl.clickhouse import connect

    with connect(node.settings(), database="") as client:
        report = access.apply(client, access.read(FILE, None))
    assert report.applied == 0
    assert report.skipped == len(statements(FILE.read_text()))
    assert "embedded node" in report.notices[0]
