"""From the routing file to channels that can send: reads the secrets, opens nothing."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from chctl.settings import Settings
from feeders.alerting import heartbeat
from feeders.alerting.dispatch import Policy
from feeders.alerting.egress import Egress
from feeders.alerting.render import Renderer
from feeders.alerting.routing import ChannelSpec, Group, RouteSpec, Routing
from feeders.channels import Channel
from feeders.channels.check import Check
from feeders.channels.webhook import Webhook


class SecretError(ValueError):
    """A file that should hold a secret is missing or empty; the message names the file, never what is in it."""


def secret(name: str) -> str:
    """The content of a secret file, looked for in the secrets directory unless the path is absolute."""
    folder = os.environ.get("CHCTL_SECRETS_DIR") or os.environ.get("CREDENTIALS_DIRECTORY") or "."
    path = Path(folder, name)
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}; put the secret there or set CHCTL_SECRETS_DIR") from None
    if not value:
        raise SecretError(f"{path}: empty")
    return value


def networks(text: str) -> list[str]:
    """The networks of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


def build(s: Settings, routing: Routing) -> dict[str, tuple[Channel, Policy]]:
    """Every channel of a routing file with its policy, and the one of the heartbeat. Raises SecretError."""
    renderer = Renderer(s.project_dir / "templates" / "alerts", s.dashboard_url)
    channels = {name: (_channel(s, name, spec, renderer), _policy(spec)) for name, spec in routing.channels.items()}
    egress = Egress(allowed=networks(s.webhook_allow_private), timeout=s.webhook_timeout_s)
    check = Check(heartbeat.CHANNEL, s.heartbeat_url.get_secret_value(), egress)
    return channels | {heartbeat.CHANNEL: (check, Policy(give_up_after=s.heartbeat_s))}


def single(url: str) -> Routing:
    """Everything to one webhook, each alert on its own, once: what `--webhook` means."""
    return Routing(
        channels={"webhook": ChannelSpec(type="webhook", url=url)},
        route=RouteSpec(channels=("webhook",), group=Group(limit=1_000_000)),
    )


def _policy(spec: ChannelSpec) -> Policy:
    return Policy(
        max_attempts=spec.max_attempts,
        give_up_after=spec.give_up_after,
        concurrency=spec.concurrency,
        rate=spec.rate,
    )


def _channel(s: Settings, name: str, spec: ChannelSpec, renderer: Renderer) -> Channel:
    url = secret(spec.url_file) if spec.url_file else spec.url
    if spec.type == "apprise":
        from feeders.channels.notify import Notify  # its hundred plugins take a second to import

        return Notify(name, url, renderer, timeout=spec.timeout, template=spec.template)
    egress = Egress(allowed=networks(s.webhook_allow_private), timeout=spec.timeout, redirects=spec.redirects)
    if spec.type == "slack":
        from feeders.channels.slack import Slack

        return Slack(name, url, egress, renderer, template=spec.template)
    if spec.type == "pagerduty":
        from feeders.channels.pagerduty import PagerDuty

        key = secret(spec.routing_key_file)
        return PagerDuty(name, key, egress, renderer, url=url, template=spec.template)
    signing = secret(spec.secret_file) if spec.secret_file else s.webhook_secret.get_secret_value()
    if signing and not _is_signing_secret(signing):
        raise SecretError(f"channel {name}: its secret must be whsec_ and base64 of 24 to 64 random bytes")
    return Webhook(name, url, egress, secret=signing)


def _is_signing_secret(value: str) -> bool:
    """As Standard Webhooks has them; its library takes anything, and would sign with what a typing error left."""
    try:
        return value.startswith("whsec_") and 24 <= len(base64.b64decode(value[6:], validate=True)) <= 64
    except binascii.Error:
        return False
