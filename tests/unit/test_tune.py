"""`chctl tune`: server settings that are up to date, well-formed, and known to ClickHouse by name and value."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from chctl import tune
from chctl.contracts import load_all
from chctl.node.config import LOW_LATENCY
from chctl.scratch import Scratch
from chctl.settings import PROJECT_DIR
from chctl.sqltext import statements
from cli import app

DEPLOYED = PROJECT_DIR / "deploy" / "clickhouse"
CONSUMERS = tune.consumers(list(load_all(PROJECT_DIR / "contracts")))
DEFAULT = tune.Machine(tune.DEFAULT_CORES, tune.DEFAULT_RAM_GIB, tune.DEFAULT_DISK_GB, CONSUMERS)

#: Sections and listeners that are no rows of system.server_settings, as ClickHouse's own config.xml has them.
SECTIONS = {
    "backups", "merge_tree", "named_collections", "query_log", "query_views_log", "part_log", "session_log", "logger",
    "asynchronous_metric_log", "trace_log", "text_log", "metric_log", "latency_log", "processors_profile_log",
    "query_thread_log", "query_metric_log", "opentelemetry_span_log", "listen_host", "https_port", "tcp_port_secure",
    "http_port", "tcp_port", "mysql_port", "postgresql_port", "interserver_http_port", "openSSL", "prometheus",
    "timezone", "http_handlers",
}  # fmt: skip


def _elements(folder: str, files: dict[str, str]) -> list[ElementTree.Element]:
    roots = [ElementTree.fromstring(text) for name, text in files.items() if name.startswith(f"{folder}/")]
    assert {root.tag for root in roots} == {"clickhouse"}
    return [element for root in roots for element in root]


def test_the_committed_files_are_what_tune_renders_without_options(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    rendered = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.xml")}
    committed = {path.relative_to(DEPLOYED): path.read_text() for path in DEPLOYED.rglob("*.xml")}
    assert rendered == committed, "run `chctl tune` and commit what it writes"
    again = CliRunner().invoke(app, ["tune", "--out", str(tmp_path)])
    assert again.output == ""


def _unexplained(parent: ElementTree.Element) -> list[str]:
    """Settings with no comment before them in their section, nor before all that is in them."""
    missing, commented = [], False
    for child in parent:
        if child.tag is ElementTree.Comment:
            commented = True
        elif not commented and (not len(child) or _unexplained(child)):
            missing.append(child.tag)
    return missing


@pytest.mark.parametrize("name", sorted(tune.render(DEFAULT, PROJECT_DIR)))
def test_every_section_says_why(name: str) -> None:
    builder = ElementTree.TreeBuilder(insert_comments=True)
    text = (DEPLOYED / name).read_text()
    assert _unexplained(ElementTree.fromstring(text, ElementTree.XMLParser(target=builder))) == []


def test_clickhouse_knows_every_setting() -> None:
    files = tune.render(DEFAULT, PROJECT_DIR)
    with Scratch() as engine:
        known = {
            table: {row["name"] for row in engine.rows(f"SELECT name FROM system.{table}")}
            for table in ("server_settings", "merge_tree_settings", "settings")
        }
    top = _elements("config.d", files)
    assert {element.tag for element in top} - known["server_settings"] - SECTIONS == set()
    merge_tree = {setting.tag for element in top if element.tag == "merge_tree" for setting in element}
    assert merge_tree
    assert merge_tree - known["merge_tree_settings"] == set()
    profiles = [element for element in _elements("users.d", files) if element.tag == "profiles"]
    names = {setting.tag for element in profiles for profile in element for setting in profile}
    assert names
    assert names - known["settings"] == set()


def test_the_collection_has_the_options_of_the_embedded_node_and_no_secret() -> None:
    files = tune.render(DEFAULT, PROJECT_DIR)
    kafka = ElementTree.fromstring(files["config.d/kafka.xml"]).find("named_collections/chctl_kafka/kafka")
    assert kafka is not None
    assert {option.tag: option.text for option in kafka} == LOW_LATENCY
    for name, text in files.items():
        for element in ElementTree.fromstring(text).iter():
            if element.tag == "no_password":  # the server's own user, from this machine only
                continue
            if element.tag == "uri" or any(word in element.tag for word in ("password", "secret", "access_key")):
                assert element.get("from_env", "").startswith("CHCTL_"), f"{name}: {element.tag}"
                assert not element.text, f"{name}: {element.tag}"


def test_the_dictionary_of_accounts_names_its_collection_alone() -> None:
    """What a server logs in with stands in the collection, which only the server's environment fills."""
    files = tune.render(DEFAULT, PROJECT_DIR)
    uri = ElementTree.fromstring(files["optional/mongo.xml"]).find("named_collections/chctl_mongo/uri")
    assert uri is not None
    assert uri.attrib == {"overridable": "false", "from_env": "CHCTL_MONGO_URI"}
    (statement,) = statements((DEPLOYED / "accounts_dictionary.sql").read_text())
    assert re.findall(r"SOURCE\((.*)\)\n", statement.sql) == ["MONGODB(NAME chctl_mongo COLLECTION 'accounts')"]
    assert "mongodb://" not in statement.sql


_LOAD = """
import os, sys
os.chdir(sys.argv[1])  # chDB reads named collections from config.xml in the working directory
import chdb
connection = chdb.connect(f"{sys.argv[1]}/data?config-file={sys.argv[1]}/config.xml")
def show(sql):
    print(str(connection.query(sql, "TSVRaw")).strip())
show("SELECT name FROM system.named_collections")
for name in ("background_pool_size", "mark_cache_size"):
    show(f"SELECT name, value FROM system.server_settings WHERE name = '{name}'")
show("SELECT value FROM system.merge_tree_settings WHERE name = 'merge_with_ttl_timeout'")
"""


def test_the_engine_starts_with_the_files_and_takes_their_values(tmp_path: Path) -> None:
    machine = tune.Machine(4, 8, 100, CONSUMERS)
    tune.write(tune.render(machine, PROJECT_DIR), tmp_path)
    root = ElementTree.Element("clickhouse")
    local = ElementTree.SubElement(ElementTree.SubElement(root, "named_collections_storage"), "type")
    local.text = "local"
    for name in ("memory", "pools", "merges", "kafka"):  # an in-process engine opens no ports and keeps no query log
        root.extend(ElementTree.parse(tmp_path / "config.d" / f"{name}.xml").getroot())
    (tmp_path / "config.xml").write_bytes(ElementTree.tostring(root))
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(tmp_path)],
        env={"CHCTL_KAFKA_BROKERS": "127.0.0.1:9092"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = ["chctl_kafka", "background_pool_size\t2", f"mark_cache_size\t{8 * tune.GIB // 20}", "3600"]
    assert done.stdout.split("\n")[:-1] == expected


@settings(max_examples=50)
@given(st.integers(2, 256), st.integers(4, 4096), st.integers(20, 200_000), st.integers(1, 200))
def test_a_server_of_any_size_starts_and_leaves_room(cores: int, ram: int, disk: int, readers: int) -> None:
    v = tune.values(tune.Machine(cores, ram, disk, readers))
    number = {name: value for name, value in v.items() if isinstance(value, int)}
    # ClickHouse refuses to start where one of these exceeds the pool times its ratio
    slots = 2 * number["merge_pool"]
    assert 1 <= number["lower_entries"] <= slots
    assert 1 <= number["mutation_entries"] <= slots
    assert number["broker_pool"] >= readers + 2
    assert number["query_memory"] + number["mark_cache"] < number["memory"] < ram * tune.GIB
    assert number["spill"] < number["query_memory"]
    assert number["selects"] < number["queries"]
    assert 20 * number["largest_merge"] <= disk * tune.GB


@pytest.mark.parametrize("option", ["--cores=1", "--ram=2", "--disk=5"])
def test_a_machine_that_is_too_small_is_refused(option: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", option, "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "at least" in result.output
    assert not list(tmp_path.iterdir())


def test_a_user_without_a_password_is_held_to_this_machine_and_may_read_only() -> None:
    users = ElementTree.parse(DEPLOYED / "users.d" / "admin.xml").findall("users/*")
    open_ = [user for user in users if user.find("no_password") is not None]
    assert [user.tag for user in open_] == ["default"]
    assert {ip.text for ip in open_[0].findall("networks/ip")} == {"127.0.0.1", "::1"}
    grants = [query.text or "" for query in open_[0].findall("grants/query")]
    assert grants
    assert all(grant.startswith("GRANT SELECT ON chctl.") and "*" not in grant for grant in grants)
