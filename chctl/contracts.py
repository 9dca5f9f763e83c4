"""Contracts: one YAML file a topic says what a message may hold; SQL and Python check rows by the same rules.

A contract is read by `load` and gives three things: the ingest family in plain SQL (`chctl.render`), the check
that feeders make before they send (`Contract.reasons`), and the topic's place on the broker (`chctl.topics`).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from chctl.errors import ContractError

Scalar = Literal[
    "string",
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int64",
    "float64",
    "timestamp_ms",
    "timestamp_us",
]
FieldType = (
    Scalar
    | Literal["array(string)", "array(uint16)", "array(uint32)", "array(int64)", "array(float32)", "array(float64)"]
)
FIELD_TYPES: tuple[str, ...] = tuple(t for literal in get_args(FieldType) for t in get_args(literal))

#: No venue is older than the first Bitcoin block; seconds in place of milliseconds fall before it, microseconds after
#: tomorrow.
EARLIEST_MS = 1_230_768_000_000  # 2009-01-01
DAY_MS = 86_400_000
INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1
#: Elements of integer arrays have at most 18 digits, so that a pattern over the raw text can tell that they fit Int64.
ARRAY_INT_MAX = 10**18 - 1
#: A float below it is written with all its digits, so that text shows whether it is whole.
WHOLE_FLOAT_LIMIT = 1e21
_INT_BOUNDS: dict[str, tuple[int, int]] = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, UINT64_MAX),
    "int64": (-(2**63), INT64_MAX),
    "timestamp_ms": (-(2**63), INT64_MAX),
    "timestamp_us": (-(2**63), INT64_MAX),
}
#: Longest field name quoted in a reason, in characters.
NAME_LIMIT = 64
NOT_AN_OBJECT = "not a JSON object"
DUPLICATE_FIELD = "duplicate field"


class Field(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One field of a topic's rows.

    `min`, `max` and `above` (an exclusive minimum) bound a number, or each element of an array. `max_length` is in
    bytes of UTF-8. A field with `required_when` may be absent unless the named fields have one of the values. An absent
    field is NULL in the landing table, or `default` where the contract gives one.
    """

    name: str
    type: FieldType
    description: str
    required: bool = False
    required_when: dict[str, list[str]] = {}
    min: int | float | None = None
    max: int | float | None = None
    above: int | float | None = None
    enum: list[str] = []
    max_length: int = 256
    max_items: int = 1000
    allow_empty: bool = False
    default: str | int | float | bool | None = None
    unit: str = ""

    @property
    def item(self) -> str | None:
        """Type of an array's elements, None for a scalar."""
        return self.type[len("array(") : -1] if self.type.startswith("array(") else None

    @property
    def kind(self) -> str:
        """What the field must be, as a reason says it: `not a <kind>`."""
        if self.item:
            element = {"string": "strings", "float32": "numbers", "float64": "numbers"}.get(self.item, "integers")
            return f"an array of {element}"
        return {"string": "a string", "bool": "a boolean", "float64": "a number"}.get(self.type, "an integer")

    @property
    def bounds(self) -> tuple[int | float | None, int | float | None]:
        """Lowest and highest allowed value, None where there is no bound. Timestamps: see `Contract.reasons`."""
        low: int | float | None
        high: int | float | None
        low, high = _INT_BOUNDS.get(self.item or self.type, (None, None))
        if self.item and low is not None and high is not None:
            low, high = max(low, -ARRAY_INT_MAX), min(high, ARRAY_INT_MAX)
        if self.item == "float32":
            low, high = -3.4028234663852886e38, 3.4028234663852886e38
        return (low if self.min is None else self.min), (high if self.max is None else self.max)


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A relation between fields, checked after all fields: exactly one of the two is given.

    `equal_length`: arrays that run in parallel. `not_after`: [a, b] means a <= b.
    """

    equal_length: list[str] = []
    not_after: list[str] = []


class ClickHouseConsumer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the node reads the topic; `rows_per_message` is what the producers usually pack, to size one poll.

    A read is planned with every view behind the table, also when nothing has come: a topic asks for a shorter
    `flush_interval_ms` than a second only where an alert hangs on it.
    """

    num_consumers: int = 1
    max_block_size: int = 65536
    rows_per_message: int = 1
    flush_interval_ms: int = 1000

    @property
    def poll_max_batch_size(self) -> int:
        """Messages a poll: one poll is drained whole, so it should hold about one block of rows."""
        return max(1, self.max_block_size // self.rows_per_message)

    @property
    def poll_timeout_ms(self) -> int:
        """How long one poll waits for a message: half an interval, so that no flush is late by more."""
        return self.flush_interval_ms // 2


class Consumers(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who reads the topic: the node by its Kafka engine, and feeders by their file."""

    clickhouse: ClickHouseConsumer | None = None
    feeders: list[str] = []


class InvalidExample(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A row (or its raw text) that must be rejected, and the reason that rejected_events must name."""

    reason: str
    row: dict[str, Any] | None = None
    raw: str | None = None

    @property
    def line(self) -> str:
        """The text as a producer would send it."""
        return self.raw if self.raw is not None else encode(self.row or {})


class Examples(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Rows that show the contract; all are tested in Python and through the SQL."""

    valid: list[dict[str, Any]]
    invalid: list[InvalidExample]


class Contract(msgspec.Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """One topic: its place on the broker, its rows, and who writes and reads it.

    Rows of a `personal` topic hold personal data: rejected_events keeps a hash of a bad one, not its text.
    """

    topic: str
    description: str
    producers: list[str]
    consumers: Consumers
    key: list[str]
    partitions: int
    retention: str
    cleanup_policy: Literal["delete", "compact", "compact,delete"]
    fields: list[Field]
    examples: Examples
    rules: list[Rule] = []
    personal: bool = False

    @property
    def retention_ms(self) -> int:
        """Retention in milliseconds, from `7d`, `12h` or `30m`."""
        return int(self.retention[:-1]) * {"m": 60_000, "h": 3_600_000, "d": DAY_MS}[self.retention[-1]]

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by name, in order."""
        return {field.name: field for field in self.fields}

    def message_key(self, row: dict[str, Any]) -> str:
        """Key of the message that carries `row`: the key fields, joined by a colon."""
        return ":".join(str(row[name]) for name in self.key)

    @cached_property
    def _checks(self) -> list[tuple[str, Field, Callable[[Any], str | None]]]:
        return [(field.name, field, _check(field)) for field in self.fields]

    def reasons(self, row: Any, *, now_ms: int | None = None) -> list[str]:
        """Why `row` breaks the contract, in the order of its fields; [] where it is valid.

        The first reason is the one that the SQL writes to rejected_events. `now_ms` (default: the clock) bounds
        timestamps: from 2009 to one day ahead.
        """
        if not isinstance(row, dict) or not _encodable(row):
            return [NOT_AN_OBJECT]
        latest = (int(time.time() * 1000) if now_ms is None else now_ms) + DAY_MS
        found = []
        for name, field, check in self._checks:
            value = row.get(name)
            if value is None or (value == [] and field.item):
                if field.required or _demanded(field, row):
                    found.append(f"{name}: missing")
                continue
            problem = check(value)
            if problem is None and field.type == "timestamp_ms":
                problem = None if EARLIEST_MS <= value <= latest else "out of bounds"
            elif problem is None and field.type == "timestamp_us":
                problem = None if EARLIEST_MS * 1000 <= value <= latest * 1000 else "out of bounds"
            if problem:
                found.append(f"{name}: {problem}")
        if not found:
            for rule in self.rules:
                found += _broken(rule, row)
        found += [f"unknown field {name[:NAME_LIMIT]}" for name in row if name not in self.by_name]
        return found

    def line_reasons(self, line: str | bytes, *, now_ms: int | None = None) -> list[str]:
        """`reasons` for a row as text, which can also be no JSON at all or name a field twice."""
        duplicate = False

        def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal duplicate
            first: dict[str, Any] = {}
            for name, value in items:
                duplicate |= name in first
                first.setdefault(name, value)
            return first

        try:
            row = json.loads(line, object_pairs_hook=pairs, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return [NOT_AN_OBJECT]
        found = self.reasons(row, now_ms=now_ms)
        return [DUPLICATE_FIELD] if duplicate and found != [NOT_AN_OBJECT] else found


def encode(row: dict[str, Any]) -> str:
    """One row as one line of JSON: what goes into a message. Raises ValueError on NaN and infinity."""
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _encodable(value: Any) -> bool:
    """Whether a JSON parser of 64-bit numbers reads the value back: no NaN, no infinity, no wider integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return -(2**63) <= value <= UINT64_MAX
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _encodable(k) and _encodable(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_encodable, value))
    return False


def _demanded(field: Field, row: dict[str, Any]) -> bool:
    return any(row.get(other) in values for other, values in field.required_when.items())


def _broken(rule: Rule, row: dict[str, Any]) -> list[str]:
    if rule.not_after:
        first, second = rule.not_after
        if row.get(first) is not None and row.get(second) is not None and row[first] > row[second]:
            return [f"{first}: after {second}"]
        return []
    first, *others = rule.equal_length
    length = len(row.get(first) or [])
    return [f"{first}: not as long as {other}" for other in others if len(row.get(other) or []) != length]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(field: Field) -> Callable[[Any], str | None]:
    """The check of one present value: what is wrong with it, or None."""
    low, high = field.bounds
    above, wrong = field.above, f"not {field.kind}"

    def out_of_bounds(value: int | float) -> bool:
        return (
            (low is not None and value < low)
            or (high is not None and value > high)
            or (above is not None and value <= above)
        )

    def string(value: Any) -> str | None:
        if field.enum:
            known = isinstance(value, str) and value in field.enum
            return None if known else f"not one of {', '.join(field.enum)}"
        if not isinstance(value, str):
            return wrong
        if not value and not field.allow_empty:
            return "empty"
        return f"longer than {field.max_length} bytes" if len(value.encode()) > field.max_length else None

    def boolean(value: Any) -> str | None:
        return None if isinstance(value, bool) else wrong

    def integer(value: Any) -> str | None:
        if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE_FLOAT_LIMIT:
            value = int(value)  # JSON knows no integers: 5.0 is 5
        if not _is_int(value):
            return wrong
        return "out of bounds" if out_of_bounds(value) else None

    def number(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wrong
        return "out of bounds" if out_of_bounds(value) else None

    def array(value: Any) -> str | None:
        if not isinstance(value, list) or not all(map(element, value)):
            return wrong
        if len(value) > field.max_items:
            return f"more than {field.max_items} items"
        if field.item == "string":
            too_long = any(len(v.encode()) > field.max_length for v in value)
            return f"an item longer than {field.max_length} bytes" if too_long else None
        return "out of bounds" if any(map(out_of_bounds, value)) else None

    def element(value: Any) -> bool:
        if field.item == "string":
            return isinstance(value, str)
        if field.item in ("float32", "float64"):
            return isinstance(value, float) or _is_int(value)
        return _is_int(value) and abs(value) <= ARRAY_INT_MAX

    if field.item:
        return array
    return {"string": string, "bool": boolean, "float64": number}.get(field.type, integer)


# --- reading the files ------------------------------------------------------------------------------------------------


def load(path: Path) -> Contract:
    """Read and check one contract. Raises ContractError, which names the file, the line and what to change."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ContractError(f"{path}:1: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"{path}:1: is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        contract = msgspec.convert(yaml.safe_load(text), Contract)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ContractError(f"{path}:{mark.line + 1 if mark else 1}: {getattr(error, 'problem', error)}") from error
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ContractError(f"{path}:{_line(node, where.rstrip('`'))}: {message}") from error
    for where, problem in _problems(contract, path):
        raise ContractError(f"{path}:{_line(node, where)}: {problem}")
    return contract


def load_all(directory: Path) -> list[Contract]:
    """Every contract of `directory`, by topic. Raises ContractError for the first bad one."""
    paths = sorted(directory.glob("*.yaml"))
    if not paths:
        raise ContractError(f"{directory}:1: no contracts here; expected one YAML file a topic")
    return [load(path) for path in paths]


def _line(node: yaml.Node | None, where: str) -> int:
    """Line (from 1) of a msgspec path such as `.fields[3].type`, or of its nearest known parent."""
    line = node.start_mark.line + 1 if node else 1
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", where):
        following: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode) and name:
            following = next((value for key, value in node.value if key.value == name), None)
            line = next((key.start_mark.line + 1 for key, _ in node.value if key.value == name), line)
        elif isinstance(node, yaml.SequenceNode) and index.isdigit() and int(index) < len(node.value):
            following = node.value[int(index)]
            line = following.start_mark.line + 1
        if following is None:
            return line
        node = following
    return line


def _problems(contract: Contract, path: Path) -> list[tuple[str, str]]:
    """(path into the document, what to change) of what types alone do not show."""
    found = []
    names = [field.name for field in contract.fields]
    if contract.topic != path.stem:
        found.append((".topic", f"topic {contract.topic!r} stands in a file named {path.name!r}; make them the same"))
    if not re.fullmatch(r"\d+[mhd]", contract.retention):
        found.append((".retention", "retention is a number and m, h or d, such as 7d"))
    if contract.partitions < 1:
        found.append((".partitions", "a topic has at least one partition"))
    for position, field in enumerate(contract.fields):
        where = f".fields[{position}]"
        if not re.fullmatch(r"_?[a-z][a-z0-9_]*", field.name) or field.name in RESERVED:
            found.append((f"{where}.name", f"{field.name!r} is no lower_case name, or one that the landing table adds"))
        if names.index(field.name) != position:
            found.append((f"{where}.name", f"field {field.name} is there twice"))
        if field.required and field.required_when:
            found.append((f"{where}.required_when", "either required or required_when"))
        if field.default is not None and (field.required or field.item):
            found.append((f"{where}.default", "only an optional scalar has a default"))
        if field.enum and field.type != "string":
            found.append((f"{where}.enum", "enum needs type string"))
        if any(value in ("true", "false") or not re.match(r"[A-Za-z]", value) for value in field.enum):
            found.append((f"{where}.enum", "enum values start with a letter and are not true or false"))
        for other, values in field.required_when.items():
            if other not in names or not set(values) <= set(contract.by_name[other].enum):
                found.append((f"{where}.required_when", f"{other} is not a field whose enum holds {', '.join(values)}"))
    for position, rule in enumerate(contract.rules):
        if bool(rule.equal_length) == bool(rule.not_after) or len(rule.not_after) not in (0, 2):
            found.append((f".rules[{position}]", "a rule is either equal_length or not_after with two fields"))
        for name in rule.equal_length + rule.not_after:
            if name not in names:
                found.append((f".rules[{position}]", f"{name} is no field"))
            elif rule.equal_length and not contract.by_name[name].item:
                found.append((f".rules[{position}]", f"{name} is no array"))
    for name in contract.key:
        if name not in names or not contract.by_name[name].required:
            found.append((".key", f"key {name} is not a required field"))
    if len(contract.examples.valid) < 2 or len(contract.examples.invalid) < 3:
        found.append((".examples", "at least two valid examples and three invalid ones"))
    if not found:
        found = _example_problems(contract)
    return found


def _example_problems(contract: Contract) -> list[tuple[str, str]]:
    found = []
    for position, row in enumerate(contract.examples.valid):
        if reasons := contract.reasons(row):
            found.append((f".examples.valid[{position}]", f"a valid example that is not: {reasons[0]}"))
    for position, example in enumerate(contract.examples.invalid):
        where = f".examples.invalid[{position}]"
        if (example.row is None) == (example.raw is None):
            found.append((where, "an invalid example has either row or raw"))
        elif (reasons := contract.line_reasons(example.line) or ["valid"])[0] != example.reason:
            found.append((where, f"expected {example.reason!r}, but the row is {reasons[0]!r}"))
    return found


#: Columns that every landing table has beside the contract's fields.
RESERVED = ("raw", "reject_reason", "topic", "partition", "offset", "kafka_time")
