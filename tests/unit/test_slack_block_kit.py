"""Block Kit: everything Slack takes passes, everything it refuses is named, and our own messages pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chctl.settings import PROJECT_DIR
from feeders.alerting.egress import Egress
from feeders.alerting.model import Alert, Page, RuleInfo
from feeders.alerting.render import Renderer
from feeders.channels import block_kit
from feeders.channels.slack import Slack

#: The kind of a fixture without a `type`, by the beginning of its name.
UNTYPED = {
    "attachments/": "attachment",
    "messages/": "message",
    "objects/confirmation": "confirm",
    "objects/conversation_filter": "filter",
    "objects/dispatch": "dispatch_action_config",
    "objects/input_parameter": "input_parameter",
    "objects/option_group": "option_group",
    "objects/option": "option",
    "objects/trigger": "trigger",
    "objects/workflow": "workflow",
}


@pytest.fixture(scope="module")
def spec(captures: Path) -> Path:
    return captures / "slack" / "spec"


def kind_of(name: str, value: dict[str, Any]) -> str:
    return next((kind for prefix, kind in UNTYPED.items() if name.startswith(prefix)), "") or value["type"]


def test_every_valid_fixture_passes(spec: Path) -> None:
    manifest = json.loads((spec / "manifest.json").read_text())["fixtures"]
    assert len(manifest) > 90
    for fixture in manifest:
        value = json.loads((spec / "fixtures" / "valid" / f"{fixture['id']}.json").read_text())
        assert block_kit.check(kind_of(fixture["id"], value), value) == [], fixture["id"]


def valid(spec: Path, name: str) -> dict[str, Any]:
    return json.loads((spec / "fixtures" / "valid" / f"{name}.json").read_text())  # type: ignore[no-any-return]


#: What one limit bites on: a valid fixture, the kind to judge it as, and the place in it to break.
PLACES: dict[str, tuple[str, str, list[Any]]] = {
    "text": ("objects/text_markdown_basic", "mrkdwn", ["text"]),
    "action_id": ("elements/button_basic", "button", ["action_id"]),
    "block_id": ("blocks/divider_block_only", "divider", ["block_id"]),
    "button.text": ("elements/button_basic", "button", ["text", "text"]),
    "button.url": ("elements/button_link", "button", ["url"]),
    "button.value": ("elements/button_basic", "button", ["value"]),
    "button.accessibility_label": ("elements/button_basic", "button", ["accessibility_label"]),
    "confirmation.title": ("objects/confirmation_dialogue_basic", "confirm", ["title", "text"]),
    "confirmation.text": ("objects/confirmation_dialogue_basic", "confirm", ["text", "text"]),
    "confirmation.confirm": ("objects/confirmation_dialogue_basic", "confirm", ["confirm", "text"]),
    "confirmation.deny": ("objects/confirmation_dialogue_basic", "confirm", ["deny", "text"]),
    "option.text": ("objects/option_basic", "option", ["text", "text"]),
    "option.value": ("objects/option_basic", "option", ["value"]),
    "option.url": ("objects/option_basic", "option", ["url"]),
    "option.description": ("objects/option_basic", "option", ["description"]),
    "option_group.label": ("objects/option_group_basic", "option_group", ["label", "text"]),
    "option_group.options": ("objects/option_group_basic", "option_group", ["options"]),
    "select.placeholder": ("elements/select_menu_static", "static_select", ["placeholder", "text"]),
    "select.options": ("elements/select_menu_static", "static_select", ["options"]),
    "overflow.options": ("elements/overflow_menu_basic", "overflow", ["options"]),
    "checkboxes.options": ("elements/checkbox_basic", "checkboxes", ["options"]),
    "radio_buttons.options": ("elements/radio_button_group_basic", "radio_buttons", ["options"]),
    "url_source.url": ("elements/url_source_basic", "url", ["url"]),
    "table.rows": ("blocks/table_block", "table", ["rows"]),
    "file_input.max_files": ("elements/file_input_basic", "file_input", ["max_files"]),
    "plain_text_input.max_length": ("elements/plaintext_input_basic", "plain_text_input", ["max_length"]),
    "actions.elements": ("blocks/actions_block_checkboxes", "actions", ["elements"]),
    "context.elements": ("blocks/context_block_text_only", "context", ["elements"]),
    "header.text": ("blocks/header_block_only", "header", ["text", "text"]),
    "image.image_url": ("blocks/image_block_only", "image", ["image_url"]),
    "image.alt_text": ("blocks/image_block_only", "image", ["alt_text"]),
    "input.label": ("blocks/input_block_only", "input", ["label", "text"]),
    "input.hint": ("blocks/input_block_only", "input", ["hint", "text"]),
    "markdown.text": ("blocks/markdown_block_basic", "markdown", ["text"]),
    "section.text": ("blocks/section_block_text_only", "section", ["text", "text"]),
    "section.fields": ("blocks/section_block_fields", "section", ["fields"]),
    "video.alt_text": ("blocks/video_block_full", "video", ["alt_text"]),
    "video.title": ("blocks/video_block_full", "video", ["title", "text"]),
    "video.author_name": ("blocks/video_block_full", "video", ["author_name"]),
    "video.description": ("blocks/video_block_full", "video", ["description", "text"]),
    "video.provider_name": ("blocks/video_block_full", "video", ["provider_name"]),
    "view.blocks": ("views/modal_with_blocks", "modal", ["blocks"]),
    "view.private_metadata": ("views/modal_with_blocks", "modal", ["private_metadata"]),
    "view.callback_id": ("views/modal_with_blocks", "modal", ["callback_id"]),
    "view.title": ("views/modal_with_blocks", "modal", ["title", "text"]),
    "view.close": ("views/modal_with_blocks", "modal", ["close", "text"]),
    "view.submit": ("views/modal_with_blocks", "modal", ["submit", "text"]),
    "alert.text": ("blocks/alert_block", "alert", ["text", "text"]),
    "card.title": ("blocks/card_block", "card", ["title", "text"]),
    "card.subtitle": ("blocks/card_block", "card", ["subtitle", "text"]),
    "card.body": ("blocks/card_block", "card", ["body", "text"]),
    "card.actions": ("blocks/card_block", "card", ["actions"]),
    "card.subtext": ("blocks/card_block", "card", ["subtext", "text"]),
    "carousel.elements": ("blocks/carousel_block", "carousel", ["elements"]),
    "container.title": ("blocks/container_block", "container", ["title", "text"]),
    "container.subtitle": ("blocks/container_block", "container", ["subtitle", "text"]),
    "container.child_blocks": ("blocks/container_block", "container", ["child_blocks"]),
    "context_actions.elements": ("blocks/context_actions_icon_button", "context_actions", ["elements"]),
    "data_table.rows": ("blocks/data_table_block", "data_table", ["rows"]),
    "data_table.page_size": ("blocks/data_table_block", "data_table", ["page_size"]),
    "data_table.cell_text": ("blocks/data_table_block", "data_table", ["rows", 0, 0, "text"]),
    "data_table.content": ("blocks/data_table_block", "data_table", ["rows", 0, 0, "text"]),
    "data_visualization.title": ("blocks/data_visualization_pie", "data_visualization", ["title"]),
    "data_visualization.segments": ("blocks/data_visualization_pie", "data_visualization", ["chart", "segments"]),
    "data_visualization.segment.label": (
        "blocks/data_visualization_pie",
        "data_visualization",
        ["chart", "segments", 0, "label"],
    ),
    "data_visualization.segment.value": (
        "blocks/data_visualization_pie",
        "data_visualization",
        ["chart", "segments", 0, "value"],
    ),
    "data_visualization.series": ("blocks/data_visualization_bar", "data_visualization", ["chart", "series"]),
    "data_visualization.series_name": (
        "blocks/data_visualization_bar",
        "data_visualization",
        ["chart", "series", 0, "name"],
    ),
    "data_visualization.data": ("blocks/data_visualization_bar", "data_visualization", ["chart", "series", 0, "data"]),
    "data_visualization.point_label": (
        "blocks/data_visualization_bar",
        "data_visualization",
        ["chart", "series", 0, "data", 0, "label"],
    ),
    "data_visualization.categories": (
        "blocks/data_visualization_bar",
        "data_visualization",
        ["chart", "axis_config", "categories"],
    ),
    "data_visualization.category_label": (
        "blocks/data_visualization_bar",
        "data_visualization",
        ["chart", "axis_config", "categories", 0],
    ),
    "data_visualization.axis_label": (
        "blocks/data_visualization_bar",
        "data_visualization",
        ["chart", "axis_config", "x_label"],
    ),
}
for _field in ("text", "value", "accessibility_label"):
    _path: list[Any] = ["elements", 0, "positive_button", _field] + (["text"] if _field == "text" else [])
    PLACES[f"feedback_button.{_field}"] = ("blocks/context_actions_feedback_buttons", "context_actions", _path)
PLACES["icon_button.visible_to_user_ids"] = (
    "blocks/context_actions_icon_button",
    "context_actions",
    ["elements", 0, "visible_to_user_ids"],
)

ICON = {"type": "button", "text": {"type": "plain_text", "text": "x"}}


def put(value: Any, path: list[Any], new: Any) -> Any:
    """A copy of `value` with `new` at a path, which may be one beyond what is there."""
    result = copy.deepcopy(value)
    at = result
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    return result


def look(value: Any, path: list[Any]) -> Any:
    for step in path:
        value = value[step] if not isinstance(value, dict) else value.get(step)
    return value


def option_groups(count: int) -> list[Any]:
    option = {"text": {"type": "plain_text", "text": "A"}, "value": "A"}
    return [{"label": {"type": "plain_text", "text": "G"}, "options": [option]}] * count


#: The cases that are about structure rather than one number.
STRUCTURE: dict[str, Callable[[Path], tuple[str, Any]]] = {
    "select.option_groups.max_items": lambda spec: (
        "static_select",
        {k: v for k, v in valid(spec, "elements/select_menu_static").items() if k != "options"}
        | {"option_groups": option_groups(101)},
    ),
    "table.row_shape": lambda spec: (
        "table",
        put(valid(spec, "blocks/table_block"), ["rows", 0], [{"type": "raw_text", "text": "alone"}]),
    ),
    "table.column_settings": lambda spec: ("table", put(valid(spec, "blocks/table_block"), ["column_settings"], [{}])),
    "section.content": lambda _spec: ("section", {"type": "section"}),
    "static_select.choice_source": lambda spec: (
        "static_select",
        valid(spec, "elements/select_menu_static") | {"option_groups": option_groups(1)},
    ),
    "image.source": lambda spec: (
        "image",
        valid(spec, "elements/image_basic") | {"slack_file": {"id": "F0123456"}},
    ),
    "number_input.range": lambda spec: (
        "number_input",
        valid(spec, "elements/number_input_basic") | {"min_value": "9", "max_value": "1"},
    ),
    "context.elements": lambda _spec: ("context", {"type": "context", "elements": [ICON]}),
    "input.element": lambda spec: ("input", put(valid(spec, "blocks/input_block_only"), ["element"], ICON)),
    "data_table.columns.min_items": lambda spec: (
        "data_table",
        put(valid(spec, "blocks/data_table_block"), ["rows"], [[], []]),
    ),
    "data_table.columns.max_items": lambda spec: (
        "data_table",
        put(valid(spec, "blocks/data_table_block"), ["rows"], [[{"type": "raw_text", "text": "x"}] * 21] * 2),
    ),
}


def limit(spec: Path, constraint: str) -> Any:
    value = json.loads((spec / "limits.json").read_text())
    for step in constraint.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    # The corpus has this case and no number for it; Slack documents 100 rows.
    return 100 if constraint == "table.rows.max_items" else value


def broken(spec: Path, constraint: str) -> tuple[str, Any, Any]:
    """The kind, a value beyond one limit, and a value just at it (None where the case is not a number)."""
    if constraint in STRUCTURE:
        return (*STRUCTURE[constraint](spec), None)
    place, _, end = constraint.rpartition(".")
    if end == "item_max_length":
        place, path = "section.fields", ["fields", 0, "text"]
        name, kind, _ = PLACES[place]
    else:
        name, kind, path = PLACES[place]
    base, most = valid(spec, name), limit(spec, constraint)
    there = look(base, path)
    if end in ("max_items", "min_items"):
        members = there if isinstance(there, list) and there else ["U0"]
        beyond, at = [members[0]] * (most + 1), [members[0]] * most
        if end == "min_items":
            beyond, at = [members[0]] * (most - 1), [members[0]] * most
        if constraint == "data_table.rows.min_items":
            at = [members[0]] * 2
    elif end in ("max", "min", "exclusive_min"):
        beyond, at = (most + 1, most) if end == "max" else (most - 1 if end == "min" else most, most + (end != "min"))
    else:
        wanted = most + 1 if end != "min_length" else 0
        beyond, at = "😀" * wanted, "😀" * (most if end != "min_length" else 1)
        if constraint == "data_table.content.max_length":
            at = "x" * 100
        if path[-1] == "description" and not isinstance(there, str) and kind == "option":
            beyond, at = ({"type": "plain_text", "text": word} for word in (beyond, at))
    return kind, put(base, path, beyond), put(base, path, at)


def test_every_invalid_case_is_refused_for_its_reason_and_its_limit_is_exact(spec: Path) -> None:
    cases = json.loads((spec / "fixtures" / "invalid" / "manifest.json").read_text())["cases"]
    assert len(cases) > 95
    for case in cases:
        constraint = case["constraint"]
        if case["id"] == "context-too-many-elements":
            kind, beyond, at = (
                "context",
                *({"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * n} for n in (11, 10)),
            )
        else:
            kind, beyond, at = broken(spec, constraint)
        found = {fault.category for fault in block_kit.check(kind, beyond)}
        assert case["category"] in found, (case["id"], found)
        if at is not None:
            assert block_kit.check(kind, at) == [], case["id"]


SLACK = Slack(
    "slack",
    "https://hooks.slack.example/x",
    Egress(),
    Renderer(PROJECT_DIR / "templates" / "alerts", "https://grafana.example/d/overview"),
)
words = st.text(max_size=4000)


@settings(max_examples=40, deadline=None)
@given(
    summary=words,
    entity=words,
    runbook=words,
    value=st.floats(),
    status=st.sampled_from(["firing", "resolved", "acknowledged"]),
    count=st.integers(1, 60),
    account=st.sampled_from(
        [None, {"error": "no answer"}, {"found": False}, {"found": True, "tier": "<vip>", "country": "CH"}]
    ),
)
def test_whatever_an_alert_says_our_message_is_one_that_slack_takes(
    summary: str, entity: str, runbook: str, value: float, status: Any, count: int, account: dict[str, Any] | None
) -> None:
    alert = Alert(
        alert_id="a1",
        rule="test_rule",
        severity="critical",
        status=status,
        entity=entity,
        started_time=1_700_000_000_000,
        event_time=1_700_000_000_000,
        raised_time=1_700_000_000_000,
        value=value,
        summary=summary,
    )
    page = Page(channel="slack", alerts=(alert,) * count, rule=RuleInfo(runbook=runbook), account=account)
    message = json.loads(SLACK.body(page))
    assert block_kit.faults(message) == []
    assert len(message["blocks"]) >= 3  # the real message, not the plain text that replaces a refused one
