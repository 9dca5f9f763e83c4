"""Messages for people: one Jinja2 template a channel under templates/alerts/, filled from a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import msgspec

from feeders.alerting.model import Alert, Page, RuleInfo


class Renderer:
    """Renders `templates/alerts/<name>.j2`. Unknown names in a template are errors, not blanks."""

    def __init__(self, folder: Path, dashboard_url: str) -> None:
        self._dashboard_url = dashboard_url.rstrip("/")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # the channels quote: JSON by `tojson`, Slack's three characters by `mrkdwn`
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"utc": utc, "cut": cut, "mrkdwn": mrkdwn, "number": number, "json": to_json}

    def render(self, template: str, page: Page) -> str:
        """The text of a page."""
        first = page.alerts[0]
        return self._environment.get_template(template).render(
            page=page,
            alert=first,
            alerts=page.alerts,
            count=len(page.alerts),
            rule=page.rule,
            account=account_line(page.account),
            link=self.link(first, page.rule),
        )

    def link(self, alert: Alert, rule: RuleInfo) -> str:
        """The dashboard of the rule, at the time of the alert (ten minutes before to ten after)."""
        base = rule.dashboard or self._dashboard_url
        if not base:
            return ""
        if base.startswith("/"):
            base = self._dashboard_url + base
        joint = "&" if "?" in base else "?"
        around = {
            "from": alert.started_time - 600_000,
            "to": alert.event_time + 600_000,
            "var-entity": alert.entity,
        }
        return f"{base}{joint}{urlencode(around)}"


def account_line(account: dict[str, Any] | None) -> str:
    """What is known of the account, or why nothing is; empty where the alert is about none."""
    if account is None:
        return ""
    if "error" in account:
        return f"not known: {account['error']}"
    if not account.get("found"):
        return "no such account"
    tags = account.get("tags") or []
    parts = {
        "tier": account.get("tier"),
        "country": account.get("country"),
        "tags": " ".join(map(str, tags)) if isinstance(tags, list) else tags,
        "policy": account.get("risk_policy"),
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value not in (None, ""))


def to_json(value: object) -> str:
    """JSON text; NaN and infinities, which JSON has not, become null."""
    return msgspec.json.encode(value).decode()


def utc(milliseconds: int) -> str:
    """2026-11-23 03:31:09.123 UTC."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03d} UTC"


def cut(text: str | None, length: int) -> str:
    """At most `length` code points, an ellipsis at the end when something is missing."""
    text = text or ""
    return text if len(text) <= length else text[: length - 1] + "…"


def mrkdwn(text: str | None) -> str:
    """Text that Slack shows as it is: &, < and > are its only control characters."""
    return (text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def number(value: float | None) -> str:
    """Six significant digits, or a dash."""
    return "-" if value is None else f"{value:.6g}"
