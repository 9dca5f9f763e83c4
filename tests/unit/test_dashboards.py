"""Dashboards without a node: the rendered files are current, Grafana's JSON fits together, mistakes are named."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chctl.dashboards.macros import MacroError, Moment, expand, parametrize
from chctl.dashboards.model import ORDER, DashboardError, load, load_all
from chctl.dashboards.render import GRAFANA, PAGE, render, stale
from chctl.node import page
from chctl.settings import PROJECT_DIR

DASHBOARDS = load_all(PROJECT_DIR / "dashboards")
PROVISIONING = PROJECT_DIR / GRAFANA
MODELS: dict[str, Any] = {
    one.uid: json.loads(render([one])[f"{GRAFANA}/dashboards/{one.uid}.json"]) for one in DASHBOARDS
}


def test_the_committed_files_are_what_the_sources_render_to() -> None:
    assert stale(DASHBOARDS, PROJECT_DIR) == [], "run `chctl dashboards render` and commit what it writes"
    assert {path.name for path in (PROVISIONING / "dashboards").glob("*.json")} == {f"{d.uid}.json" for d in DASHBOARDS}


def test_the_dashboards_are_those_of_the_menu() -> None:
    assert [one.uid for one in DASHBOARDS] == list(ORDER)


def test_every_view_of_a_panel_exists() -> None:
    known = {path.stem for path in (PROJECT_DIR / "views" / "dash").glob("dash_*.sql")}
    for one in DASHBOARDS:
        for sql in [panel.sql for panel in one.panels] + [variable.sql for variable in one.variables]:
            assert set(re.findall(r"\bdash_\w+", sql)) <= known, one.uid


def test_the_dashboard_of_every_rule_exists() -> None:
    owners = "".join(path.read_text() for path in (PROJECT_DIR / "migrations").glob("*owner*.sql"))
    linked = set(re.findall(r"'/d/(\w+)'", owners))
    assert linked
    assert linked <= {one.uid for one in DASHBOARDS}


@pytest.mark.parametrize("uid", MODELS)
def test_panels_of_grafana_do_not_overlap_and_ask_the_provisioned_datasource(uid: str) -> None:
    datasources = yaml.safe_load((PROVISIONING / "datasources" / "clickhouse.yaml").read_text())["datasources"]
    known = {(one["type"], one["uid"]) for one in datasources}
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in MODELS[uid]["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in MODELS[uid]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert (target["datasource"]["type"], target["datasource"]["uid"]) in known


def test_the_provider_reads_the_folder_that_compose_mounts() -> None:
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "chctl.yaml").read_text())["providers"][0]
    grafana = yaml.safe_load((PROJECT_DIR / "docker-compose.yml").read_text())["services"]["grafana"]
    mounted = next(v.split(":") for v in grafana["volumes"] if v.startswith(f"./{GRAFANA}"))
    assert provider["options"]["path"] == f"{mounted[1]}/dashboards"
    contact = (PROVISIONING / "alerting" / "contact.yaml").read_text()
    assert set(re.findall(r"\$(\w+)", contact)) <= set(grafana["environment"])


def test_alert_rules_stand_on_their_panels_and_escape_what_grafana_would_replace() -> None:
    rules = yaml.safe_load((PROVISIONING / "alerting" / "rules.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) >= 7
    for rule in rules:
        panel = next(p for p in MODELS[rule["dashboardUid"]]["panels"] if p["id"] == rule["panelId"])
        assert panel["title"] == rule["title"]
        asked, decided = (step["model"] for step in rule["data"])
        assert asked["rawSql"].replace("$$", "$") == panel["targets"][0]["rawSql"]
        assert "$" not in asked["rawSql"].replace("$$", "")
        assert (decided["expression"], rule["condition"]) == (asked["refId"], decided["refId"])
        assert rule["annotations"]["runbook"]
        assert rule["labels"]["severity"] != "critical", "critical alerts are raised in SQL"
    assert len({rule["uid"] for rule in rules}) == len(rules)


def test_macros_mean_what_the_plugin_documents() -> None:
    at = Moment(1415792726123, 1447328726456, 20, {"venue": "it's"})
    assert expand("$__timeFilter(time)", at) == "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)"
    assert expand("$__timeFilter_ms(t)", at) == (
        "t >= fromUnixTimestamp64Milli(1415792726123) AND t <= fromUnixTimestamp64Milli(1447328726456)"
    )
    assert expand("$__fromTime $__toTime_ms", at) == "toDateTime(1415792726) fromUnixTimestamp64Milli(1447328726456)"
    assert expand("$__timeInterval(time)", at) == "toStartOfInterval(toDateTime(time), INTERVAL 20 second)"
    assert expand("x / $__interval_s", at) == "x / 20"
    assert expand("${venue:sqlstring}", at) == "'it''s'"


@pytest.mark.parametrize("sql", ["$__timeGroup(t)", "$__timeFilter", "$__fromTime(t)", "${venue}", "${venue:raw}"])
def test_what_one_face_could_not_read_is_refused(sql: str) -> None:
    with pytest.raises(MacroError):
        expand(sql, Moment(0, 1, 1, {"venue": ""}))


@given(st.text())
def test_a_value_never_becomes_part_of_the_pages_statement(value: str) -> None:
    assert parametrize("venue = ${venue:sqlstring}") == "venue = {venue:String}"
    literal = expand("${venue:sqlstring}", Moment(0, 1, 1, {"venue": value}))
    assert literal[1:-1].replace("''", "'") == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("FROM dash_disks", "FROM system.disks"), "reads system.disks: dashboards read dash_ views and nothing else"),
        (("id: gaps\n", "id: rejects\n"), "panel rejects is there twice"),
        (("uid: pipeline", "uid: other"), "stands in a file of another name"),
        (("kind: tile", "kind: gauge"), "gauge"),
        (("$__timeFilter(minute)", "$__timeFilters(minute)"), "unknown here; there are $__timeFilter"),
        (("above: 100000", "above: 100000\n          below: 1"), "either above or below"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (PROJECT_DIR / "dashboards" / "pipeline.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "pipeline.yaml"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(DashboardError, match=re.escape(message)) as raised:
        load(path)
    assert str(path) in str(raised.value)


# --- the page's files -------------------------------------------------------------------------------------------------


def test_every_file_of_the_page_is_served_by_name_and_nothing_else() -> None:
    folder = PROJECT_DIR / PAGE
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - {"vendor/update", "vendor/SHA256SUMS"} == set(page.CONTENT_TYPES)


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    for path in (PROJECT_DIR / PAGE).glob("*.*"):
        found = (
            re.findall(r"""(?:https?:)?//[\w.]+\.\w+""", path.read_text()) if path.suffix in (".html", ".css") else []
        )
        assert found == [], path.name
    for path in (PROJECT_DIR / PAGE).glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", path.read_text()
        )
    html = (PROJECT_DIR / PAGE / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<script>|<style", html), "the content security policy would refuse it"


def test_the_vendored_library_is_what_was_recorded_with_its_licence_beside_it() -> None:
    folder = PROJECT_DIR / PAGE / "vendor"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in (folder / "LICENSE.uPlot").read_text()


def test_a_server_serves_the_same_files_with_the_same_headers() -> None:
    from xml.etree import ElementTree

    rules = ElementTree.parse(PROJECT_DIR / "deploy/clickhouse/config.d/page.xml").findall("http_handlers/rule")
    served = {}
    for rule in rules:
        content = rule.findtext("handler/response_content") or ""
        if content.startswith("file:///chctl/"):
            headers = {header.tag: header.text for header in rule.findall("handler/http_response_headers/*")}
            assert headers == page.HEADERS
            served[content.removeprefix("file:///chctl/")] = rule.findtext("handler/content_type")
    assert served == page.CONTENT_TYPES
    assert (
        ElementTree.parse(PROJECT_DIR / "deploy/clickhouse/config.d/page.xml").find("http_handlers/defaults")
        is not None
    )
    compose = (PROJECT_DIR / "docker-compose.yml").read_text()
    assert f"./{PAGE}:/var/lib/clickhouse/user_files/chctl:ro" in compose
