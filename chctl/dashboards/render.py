"""`chctl dashboards render`: dashboards/*.yaml to what Grafana provisions and to what the node's own page reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from chctl.dashboards import grafana
from chctl.dashboards.macros import parametrize
from chctl.dashboards.model import Dashboard

GRAFANA = Path("deploy/grafana/provisioning")
#: The page's static files; its own are beside the one rendered here.
PAGE = Path("chctl/page")


def page(dashboards: list[Dashboard]) -> list[dict[str, Any]]:
    """The dashboards as the page reads them: their SQL takes query parameters."""
    found = msgspec.to_builtins(dashboards)
    for dashboard in found:
        for variable in dashboard["variables"]:
            variable["sql"] = parametrize(variable["sql"])
        for row in dashboard["rows"]:
            for panel in row["panels"]:
                panel["sql"] = parametrize(panel["sql"])
                del panel["alert"], panel["may_be_empty"]
    return found


def render(dashboards: list[Dashboard]) -> dict[str, str]:
    """Path (relative to the project) to text of every rendered file."""
    files = {
        (GRAFANA / "dashboards" / f"{one.uid}.json").as_posix(): _json(grafana.dashboard(one, dashboards))
        for one in dashboards
    }
    files[(GRAFANA / "alerting" / "rules.yaml").as_posix()] = grafana.alert_rules(dashboards)
    files[(PAGE / "dashboards.json").as_posix()] = _json(page(dashboards))
    return files


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def stale(dashboards: list[Dashboard], project_dir: Path) -> list[str]:
    """Rendered files that are missing or out of date."""
    return [
        name
        for name, text in render(dashboards).items()
        if not (project_dir / name).is_file() or (project_dir / name).read_text(encoding="utf-8") != text
    ]
