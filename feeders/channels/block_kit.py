"""What Slack takes: Block Kit's shapes and limits, checked before a message leaves.

https://docs.slack.dev/reference/block-kit. A limit counts Unicode code points. `faults` judges a whole message; `check`
judges one object of a kind ("section", "option", "confirm", ...). Fields not named here are Slack's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """One thing Slack would refuse. Categories: length-exceeded, out-of-range, mutually-exclusive, type-mismatch,
    missing-required, invalid-usage."""

    category: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} ({self.category})"


#: Judges one value at a path.
Check = Callable[[Any, str], Iterator[Fault]]


# --- the words the shapes below are written in


def string(most: int | None = None, least: int = 0) -> Check:
    """Text of `least` to `most` code points."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, str):
            yield Fault("type-mismatch", path, "must be text")
        elif len(value) < least or (most is not None and len(value) > most):
            yield Fault("length-exceeded", path, f"has {len(value)} characters, allowed are {least} to {most}")

    return check


def text(most: int = 3000, *kinds: str) -> Check:
    """A text object (plain_text or mrkdwn, or only `kinds`) of 1 to `most` code points."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        allowed = kinds or ("plain_text", "mrkdwn")
        if not isinstance(value, dict) or value.get("type") not in allowed:
            yield Fault("type-mismatch", path, f"must be a text object of type {' or '.join(allowed)}")
        else:
            yield from string(min(most, 3000), 1)(value.get("text"), f"{path}.text")

    return check


def plain(most: int = 3000) -> Check:
    """A plain_text object."""
    return text(most, "plain_text")


def number(least: float | None = None, most: float | None = None, *, above: float | None = None) -> Check:
    """A number within bounds; `above` is exclusive."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Fault("type-mismatch", path, "must be a number")
        elif (
            (least is not None and value < least)
            or (most is not None and value > most)
            or (above is not None and value <= above)
        ):
            yield Fault("out-of-range", path, f"is {value}, allowed: {least if above is None else above} to {most}")

    return check


def items(of: Check, most: int | None = None, least: int = 0) -> Check:
    """A list of `least` to `most` members that pass `of`."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield Fault("type-mismatch", path, "must be a list")
            return
        if len(value) < least or (most is not None and len(value) > most):
            yield Fault("length-exceeded", path, f"has {len(value)} members, allowed are {least} to {most}")
        for position, member in enumerate(value):
            yield from of(member, f"{path}[{position}]")

    return check


def one_of(*values: object) -> Check:
    """One of the given values."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if value not in values:
            yield Fault("invalid-usage", path, f"is {value!r}, allowed are {', '.join(map(repr, values))}")

    return check


def is_a(kind: type, name: str) -> Check:
    """A value of a JSON type."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, kind):
            yield Fault("type-mismatch", path, f"must be {name}")

    return check


def kind_of(*kinds: str) -> Check:
    """An object whose `type` is one of `kinds`, and right as such."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict) or value.get("type") not in kinds:
            found = value.get("type") if isinstance(value, dict) else type(value).__name__
            yield Fault("type-mismatch", path, f"{found!r} cannot stand here; allowed are {', '.join(kinds)}")
        else:
            yield from _judge(str(value["type"]), value, path)

    return check


def obj(name: str) -> Check:
    """An object of a shape below that has no `type` field."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        yield from _judge(name, value, path)

    return check


def either(first: Check, second: Check) -> Check:
    """Right if one of two is; else what the first says."""

    def check(value: Any, path: str) -> Iterator[Fault]:
        wrong = list(first(value, path))
        if wrong and list(second(value, path)):
            yield from wrong

    return check


# --- the shapes

BOOL, ANY = is_a(bool, "true or false"), is_a(object, "present")
ACTION_ID, BLOCK_ID, URL = string(255), string(255), string(3000)
CONFIRM, PLACEHOLDER = obj("confirm"), plain(150)
OPTION = obj("option")

_SELECTS = {f"{prefix}{name}": name for prefix in ("", "multi_") for name in ("users", "channels", "conversations")}
_INPUTS = (
    "checkboxes",
    "datepicker",
    "datetimepicker",
    "email_text_input",
    "file_input",
    "number_input",
    "plain_text_input",
    "radio_buttons",
    "rich_text_input",
    "timepicker",
    "url_text_input",
    "static_select",
    "external_select",
    "users_select",
    "channels_select",
    "conversations_select",
    "multi_static_select",
    "multi_external_select",
    "multi_users_select",
    "multi_channels_select",
    "multi_conversations_select",
)
_ACTIONS = (
    "button",
    "checkboxes",
    "datepicker",
    "datetimepicker",
    "overflow",
    "radio_buttons",
    "rich_text_input",
    "timepicker",
    "workflow_button",
    "static_select",
    "external_select",
    "users_select",
    "channels_select",
    "conversations_select",
    "multi_static_select",
    "multi_external_select",
    "multi_users_select",
    "multi_channels_select",
    "multi_conversations_select",
)
_CHILDREN = (
    "actions",
    "context",
    "divider",
    "file",
    "header",
    "image",
    "input",
    "rich_text",
    "section",
    "table",
    "video",
)
_BLOCKS = (
    "actions",
    "alert",
    "card",
    "carousel",
    "container",
    "context",
    "context_actions",
    "data_table",
    "data_visualization",
    "divider",
    "file",
    "header",
    "image",
    "input",
    "markdown",
    "plan",
    "rich_text",
    "section",
    "table",
    "task_card",
    "video",
)
_RICH = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
_INLINE = ("text", "channel", "emoji", "link", "user", "usergroup", "broadcast", "date", "color", "team")
_RICH_TEXT = kind_of("rich_text")
_SELECT = {"action_id": ACTION_ID, "placeholder": PLACEHOLDER, "confirm": CONFIRM, "focus_on_load": BOOL}
_CELL = kind_of("raw_text", "raw_number", "rich_text")
_AXIS = {"*series": items(obj("series"), 12, 1), "*axis_config": obj("axis_config")}
_IMAGE = {"image_url": URL, "slack_file": is_a(dict, "an object"), "*alt_text": string(2000)}

#: Kind to its fields; a name with * is required.
SHAPES: dict[str, dict[str, Check]] = {
    # composition objects
    "plain_text": {"*text": string(3000, 1), "emoji": BOOL},
    "mrkdwn": {"*text": string(3000, 1), "verbatim": BOOL},
    "option": {"*text": text(75), "*value": string(150), "description": text(75), "url": URL},
    "option_group": {"*label": plain(75), "*options": items(OPTION, 100, 1)},
    "confirm": {"*title": plain(100), "*text": text(300), "*confirm": plain(30), "*deny": plain(30)},
    "filter": {"include": items(string()), "exclude_bot_users": BOOL, "exclude_external_shared_channels": BOOL},
    "dispatch_action_config": {
        "trigger_actions_on": items(one_of("on_enter_pressed", "on_character_entered"), 2, 1),
    },
    "workflow": {"*trigger": obj("trigger")},
    "trigger": {"*url": string(), "customizable_input_parameters": items(obj("input_parameter"))},
    "input_parameter": {"*name": string(), "*value": string()},
    # elements
    "button": {
        "*text": plain(75),
        "action_id": ACTION_ID,
        "url": URL,
        "value": string(2000),
        "style": one_of("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
    "workflow_button": {"*text": plain(75), "*workflow": obj("workflow"), "accessibility_label": string(75)},
    "checkboxes": {
        "action_id": ACTION_ID,
        "*options": items(OPTION, 10, 1),
        "initial_options": items(OPTION, 10, 1),
        "confirm": CONFIRM,
    },
    "radio_buttons": {
        "action_id": ACTION_ID,
        "*options": items(OPTION, 10, 1),
        "initial_option": OPTION,
        "confirm": CONFIRM,
    },
    "overflow": {"action_id": ACTION_ID, "*options": items(OPTION, 5, 1), "confirm": CONFIRM},
    "datepicker": {"action_id": ACTION_ID, "initial_date": string(10), "placeholder": PLACEHOLDER, "confirm": CONFIRM},
    "datetimepicker": {"action_id": ACTION_ID, "initial_date_time": number(0), "confirm": CONFIRM},
    "timepicker": {"action_id": ACTION_ID, "initial_time": string(5), "placeholder": PLACEHOLDER, "timezone": string()},
    "email_text_input": {"action_id": ACTION_ID, "initial_value": string(), "placeholder": PLACEHOLDER},
    "url_text_input": {"action_id": ACTION_ID, "initial_value": string(), "placeholder": PLACEHOLDER},
    "number_input": {"action_id": ACTION_ID, "*is_decimal_allowed": BOOL, "placeholder": PLACEHOLDER},
    "plain_text_input": {
        "action_id": ACTION_ID,
        "initial_value": string(),
        "multiline": BOOL,
        "min_length": number(0, 3000),
        "max_length": number(1, 3000),
        "dispatch_action_config": obj("dispatch_action_config"),
        "placeholder": PLACEHOLDER,
    },
    "rich_text_input": {"action_id": ACTION_ID, "placeholder": PLACEHOLDER},
    "file_input": {"action_id": ACTION_ID, "filetypes": items(string()), "max_files": number(1, 10)},
    "static_select": _SELECT
    | {"options": items(OPTION, 100, 1), "option_groups": items(obj("option_group"), 100, 1), "initial_option": OPTION},
    "multi_static_select": _SELECT
    | {"options": items(OPTION, 100, 1), "option_groups": items(obj("option_group"), 100, 1)},
    "external_select": _SELECT | {"min_query_length": number(0)},
    "multi_external_select": _SELECT | {"min_query_length": number(0)},
    **{f"{name}_select": _SELECT | {"filter": obj("filter")} for name in _SELECTS},
    "url": {"*url": string(3000, 1), "*text": string()},
    "feedback_buttons": {
        "action_id": ACTION_ID,
        "*positive_button": obj("feedback_button"),
        "*negative_button": obj("feedback_button"),
    },
    "feedback_button": {"*text": plain(75), "*value": string(2000), "accessibility_label": string(75)},
    "icon_button": {
        "action_id": ACTION_ID,
        "*icon": string(),
        "*text": plain(75),
        "value": string(2000),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
        "visible_to_user_ids": items(string(), 10),
    },
    # blocks
    "actions": {"*elements": items(kind_of(*_ACTIONS), 25, 1)},
    "alert": {"*text": text(200), "level": string()},
    "card": {
        "hero_image": kind_of("image"),
        "icon": kind_of("image"),
        "title": text(150),
        "subtitle": text(150),
        "body": text(200),
        "actions": items(kind_of("button"), 3),
        "subtext": text(200),
    },
    "carousel": {"*elements": items(kind_of("card"), 10, 1)},
    "container": {
        "title": plain(150),
        "rich_text_title": _RICH_TEXT,
        "subtitle": text(150),
        "*child_blocks": items(kind_of(*_CHILDREN), 10, 1),
        "width": one_of("narrow", "standard", "wide", "full"),
        "is_collapsible": BOOL,
        "default_collapsed": BOOL,
        "has_header_divider": BOOL,
    },
    "context": {"*elements": items(kind_of("plain_text", "mrkdwn", "image"), 10, 1)},
    "context_actions": {"*elements": items(kind_of("feedback_buttons", "icon_button"), 5, 1)},
    "data_table": {
        "*rows": items(items(kind_of("raw_text", "raw_number", "rich_text"), 20, 1), 201, 2),
        "page_size": number(1, 100),
        "caption": string(),
        "row_header_column_index": number(0),
    },
    "data_visualization": {"*title": string(50), "*chart": kind_of("pie", "bar", "area", "line")},
    "divider": {},
    "file": {"*external_id": string(), "*source": one_of("remote")},
    "header": {"*text": plain(150)},
    "image": _IMAGE | {"title": plain(2000)},
    "input": {
        "*label": plain(2000),
        "*element": kind_of(*_INPUTS),
        "hint": plain(2000),
        "optional": BOOL,
        "dispatch_action": BOOL,
    },
    "markdown": {"*text": string(12_000, 1)},
    "plan": {"*title": string(), "tasks": items(obj("task_card"))},
    "rich_text": {"*elements": items(kind_of(*_RICH))},
    "section": {
        "text": text(3000),
        "fields": items(text(2000), 10, 1),
        "accessory": kind_of(*_ACTIONS, "image"),
        "expand": BOOL,
    },
    "table": {"*rows": items(items(_CELL, 20, 1), 100, 1), "column_settings": items(ANY, 20)},
    "task_card": {
        "*task_id": string(),
        "*title": string(),
        "status": one_of("pending", "in_progress", "complete", "error"),
        "details": _RICH_TEXT,
        "output": _RICH_TEXT,
        "sources": items(kind_of("url")),
    },
    "video": {
        "*alt_text": string(200, 1),
        "*title": plain(200),
        "*thumbnail_url": string(),
        "*video_url": string(),
        "author_name": string(50),
        "description": plain(200),
        "provider_name": string(50),
        "provider_icon_url": string(),
        "title_url": string(),
    },
    # cells and charts
    "raw_text": {"*text": string(least=1)},
    "raw_number": {"*value": number(), "text": string(least=1)},
    "pie": {"*segments": items(obj("segment"), 12, 1)},
    "bar": _AXIS,
    "area": _AXIS,
    "line": _AXIS,
    "segment": {"*label": string(20), "*value": number(above=0)},
    "series": {"*name": string(20), "*data": items(obj("point"), 20, 1)},
    "point": {"*label": string(20), "*value": number()},
    "axis_config": {"*categories": items(string(20), 20, 1), "x_label": string(50), "y_label": string(50)},
    # rich text
    "rich_text_section": {"*elements": items(kind_of(*_INLINE))},
    "rich_text_quote": {"*elements": items(kind_of(*_INLINE)), "border": number(0)},
    "rich_text_preformatted": {"*elements": items(kind_of(*_INLINE)), "border": number(0)},
    "rich_text_list": {
        "*elements": items(kind_of("rich_text_section")),
        "*style": one_of("bullet", "ordered"),
        "indent": number(0),
        "offset": number(0),
        "border": number(0),
    },
    "text": {"*text": string(), "style": is_a(dict, "an object")},
    "link": {"*url": string(), "text": string()},
    "emoji": {"*name": string()},
    "user": {"*user_id": string()},
    "usergroup": {"*usergroup_id": string()},
    "channel": {"*channel_id": string()},
    "broadcast": {"*range": one_of("here", "channel", "everyone")},
    "date": {"*timestamp": number(), "*format": string()},
    "color": {"*value": string()},
    "team": {"*team_id": string()},
    # surfaces
    "attachment": {"blocks": items(kind_of(*_BLOCKS), 50), "color": string(), "fallback": string()},
    "message": {
        "text": string(40_000),
        "blocks": items(kind_of(*_BLOCKS), 50),
        "attachments": items(obj("attachment"), 100),
        "mrkdwn": BOOL,
        "channel": string(),
        "response_type": one_of("ephemeral", "in_channel"),
        "replace_original": BOOL,
        "delete_original": BOOL,
        "unfurl_links": BOOL,
        "unfurl_media": BOOL,
        "metadata": is_a(dict, "an object"),
    },
    "modal": {
        "*title": plain(24),
        "*blocks": items(kind_of(*_BLOCKS), 100, 1),
        "close": plain(24),
        "submit": plain(24),
        "private_metadata": string(3000),
        "callback_id": string(255),
    },
    "home": {
        "*blocks": items(kind_of(*_BLOCKS), 100, 1),
        "private_metadata": string(3000),
        "callback_id": string(255),
    },
}


def _judge(kind: str, value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault("type-mismatch", path, f"must be an object ({kind})")
        return
    for name, check in (SHAPES[kind] | {"block_id": BLOCK_ID}).items():
        field = name.lstrip("*")
        if field in value:
            yield from check(value[field], f"{path}.{field}")
        elif name != field:
            yield Fault("missing-required", path, f"{kind} needs {field}")
    for rule in RULES.get(kind, ()):
        yield from rule(value, path)


# --- what one field alone cannot say


def _needs_one(*names: str) -> Check:
    def check(value: Any, path: str) -> Iterator[Fault]:
        if not any(value.get(name) for name in names):
            yield Fault("missing-required", path, f"needs one of {', '.join(names)}")

    return check


def _excludes(first: str, second: str) -> Check:
    def check(value: Any, path: str) -> Iterator[Fault]:
        if first in value and second in value:
            yield Fault("mutually-exclusive", path, f"takes {first} or {second}, not both")

    return check


def _ordered(low: str, high: str) -> Check:
    def check(value: Any, path: str) -> Iterator[Fault]:
        try:
            if float(value[low]) > float(value[high]):
                yield Fault("out-of-range", path, f"{low} is above {high}")
        except (KeyError, TypeError, ValueError):
            return

    return check


def _rectangular(value: Any, path: str) -> Iterator[Fault]:
    rows = [row for row in value.get("rows", []) if isinstance(row, list)]
    if len({len(row) for row in rows}) > 1:
        yield Fault("invalid-usage", f"{path}.rows", "differ in their number of columns")
    settings = value.get("column_settings")
    if rows and isinstance(settings, list) and len(settings) != len(rows[0]):
        yield Fault("invalid-usage", f"{path}.column_settings", f"has {len(settings)} for {len(rows[0])} columns")


def _content(value: Any, path: str) -> Iterator[Fault]:
    rows = [row for row in value.get("rows", []) if isinstance(row, list)]
    total = sum(len(str(cell.get("text", ""))) for row in rows for cell in row if isinstance(cell, dict))
    if total > 20_000:
        yield Fault("length-exceeded", f"{path}.rows", f"hold {total} characters, allowed are 20000")


RULES: dict[str, tuple[Check, ...]] = {
    "section": (_needs_one("text", "fields"),),
    "image": (_needs_one("image_url", "slack_file"), _excludes("image_url", "slack_file")),
    "static_select": (_needs_one("options", "option_groups"), _excludes("options", "option_groups")),
    "multi_static_select": (_needs_one("options", "option_groups"), _excludes("options", "option_groups")),
    "number_input": (_ordered("min_value", "max_value"),),
    "plain_text_input": (_ordered("min_length", "max_length"),),
    "container": (_needs_one("title", "rich_text_title"),),
    "table": (_rectangular,),
    "data_table": (_rectangular, _content),
    "message": (_needs_one("text", "blocks", "attachments"),),
}


def check(kind: str, value: Any) -> list[Fault]:
    """Everything Slack would refuse in one object of a kind."""
    return list(_judge(kind, value, kind))


def faults(message: Any) -> list[Fault]:
    """Everything Slack would refuse in a message."""
    return check("message", message)
