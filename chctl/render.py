"""Renders a contract's ingest family into the plain SQL that is committed under migrations/ and views/ingest/.

The layout of the SQL stands in templates/ingest/; here are the expressions that depend on a field's type. Every
expression is total: a row of any shape gives a reason, never an exception, since a view that throws stalls the topic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError

from chctl.contracts import (
    DAY_MS,
    DUPLICATE_FIELD,
    EARLIEST_MS,
    NAME_LIMIT,
    NOT_AN_OBJECT,
    Contract,
    Field,
)
from chctl.errors import ContractError

_COLUMN_TYPES = {
    "string": "String",
    "bool": "Bool",
    "uint8": "UInt8",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "timestamp_ms": "DateTime64(3, 'UTC')",
    "timestamp_us": "DateTime64(6, 'UTC')",
}
#: Text behind `"name":` that JSONExtract would coerce into a field of this kind.
_FOREIGN_VALUE = {
    "a string": r'[^"n\s]',
    "a boolean": r"[^tfn\s]",
    "a number": r'["tf\[{]',
    "an integer": r'(?:["tf\[{]|-?[0-9]*[.eE])',
    "an array": r"[^\[n\s]",
}
#: Kinds of JSON values, by letter, that a field of this kind may hold (`d`: a number with a fraction or an exponent).
_LETTERS = {"a string": "s", "a boolean": "b", "a number": "id", "an integer": "i", "an array": "a"}
#: What only the closer look at an odd row computes.
_CLOSER_LOOK = r"\b(?:keys|filled|mistyped|raw)\b"
#: Text that must not follow `"name": [` in an array of these elements.
_FOREIGN_ELEMENT = {
    "string": r'(?:\s*"(?:[^"\\]|\\.)*"\s*,)*\s*[^"\s\]]',
    "float": r"[-+0-9.eE,\s]*[^-+0-9.eE,\s\]]",
    "integer": r"[-0-9,\s]*(?:[^-0-9,\s\]]|[0-9]{19})",
}


@dataclass(frozen=True)
class Column:
    """A column of the landing table and the expression that fills it."""

    name: str
    type: str
    value: str
    comment: str


@dataclass(frozen=True)
class Check:
    """One branch of reject_reason: where `condition` holds, the row is rejected for `reason` (an SQL expression)."""

    condition: str
    reason: str


def quote(text: str) -> str:
    """A string literal of ClickHouse SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _number(value: int | float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e18 else repr(value)


def _kind(field: Field) -> str:
    return "an array" if field.item else field.kind


def _literal(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return quote(value) if isinstance(value, str) else _number(value)


def _element(field: Field) -> str:
    return {"string": "string", "float32": "float", "float64": "float"}.get(field.item or "", "integer")


def extract_type(field: Field) -> str:
    """Type that JSONExtract reads: NULL where a value is absent or does not fit.

    It coerces ("5", 5.5 and true are integers to it), so what the raw text holds is checked as well. Dynamic would keep
    a value's own type, but what type it gives depends on the other rows of the block.
    """
    if field.item:
        return {"string": "Array(String)", "float": "Array(Float64)", "integer": "Array(Int64)"}[_element(field)]
    return {
        "string": "Nullable(String)",
        "bool": "Nullable(Bool)",
        "float64": "Nullable(Float64)",
        "uint64": "Nullable(UInt64)",
    }.get(field.type, "Nullable(Int64)")


def parsed(field: Field) -> str:
    """Name of the parsed value within the landing view: NULL (an empty array) where absent or of a wrong type."""
    return f"in_{field.name}"


def column(field: Field) -> Column:
    """Column of the landing table: typed, Nullable where the field may be absent, an empty array where an array may."""
    comment = field.description + (f" [{field.unit}]" if field.unit else "")
    value = parsed(field)
    if field.item:
        sql_type = f"Array({_COLUMN_TYPES[field.item]})"
        value = value if sql_type == extract_type(field) else f"CAST({value}, {quote(sql_type)})"
        return Column(field.name, sql_type, value, comment)
    sql_type = _COLUMN_TYPES[field.type]
    given = field.required or field.default is not None
    if given:
        nothing: str | int | float | bool = "" if field.type == "string" else False if field.type == "bool" else 0
        absent = nothing if field.default is None else field.default
        value = f"ifNull({value}, {_literal(absent)})"
    if field.type == "timestamp_ms":
        value = f"fromUnixTimestamp64Milli({value}, 'UTC')"
    elif field.type == "timestamp_us":
        value = f"fromUnixTimestamp64Micro({value}, 'UTC')"
    elif field.type in ("uint8", "uint16", "uint32"):
        value = f"to{_COLUMN_TYPES[field.type]}({value})"
    return Column(field.name, sql_type if given else f"Nullable({sql_type})", value, comment)


def present(field: Field) -> str:
    """1 where the field was read as its type."""
    return f"notEmpty({parsed(field)})" if field.item else f"{parsed(field)} IS NOT NULL"


def foreign_patterns(contract: Contract) -> list[str]:
    """Patterns whose first group names an array with an element that JSONExtract would coerce to the array's type."""
    patterns = []
    for element, foreign in _FOREIGN_ELEMENT.items():
        names = [field.name for field in contract.fields if field.item and _element(field) == element]
        if names:
            patterns.append(rf'"({"|".join(names)})"\s*:\s*\[{foreign}')
    return patterns


def foreign(contract: Contract) -> str:
    """Pattern of a row in which a value may have been coerced, as an SQL literal.

    A name that is written with an escape (`\\u0061`) hides from the patterns, hence such a row matches as well.
    """
    values = []
    for kind, pattern in _FOREIGN_VALUE.items():
        names = [field.name for field in contract.fields if _kind(field) == kind and not field.enum]
        if names:
            values.append(rf'"(?:{"|".join(names)})"\s*:\s*{pattern}')
    arrays = [pattern.replace('"(', '"(?:', 1) for pattern in foreign_patterns(contract)]
    return quote("|".join([*values, *arrays, r"\\u00[2-7]"]))


def breaches(contract: Contract) -> list[str]:
    """Conditions under which a row breaks the contract whose names were all read, and nothing coerced."""
    return [check.condition for check in checks(contract) if not re.search(_CLOSER_LOOK, check.condition)]


def mistyped(contract: Contract) -> str:
    """Names in an odd row whose value is not of the field's kind (unknown names among them)."""
    allowed = ", ".join(
        quote(f"{field.name}:{letter}") for field in contract.fields for letter in _LETTERS[_kind(field)]
    )
    letter = (
        "multiIf(startsWith(p.2, '\"'), 's', startsWith(p.2, '['), 'a', p.2 IN ('true', 'false'), 'b', "
        "match(p.2, '^-?[0-9]+$'), 'i', match(p.2, '^-?[0-9]'), 'd', '')"
    )
    names = (
        f"arrayMap(p -> (p.1), arrayFilter(p -> ((p.2 != 'null') AND "
        f"(concat(p.1, ':', {letter}) NOT IN ({allowed}))), pairs))"
    )
    arrays = [f"extractAll(raw, {quote(pattern)})" for pattern in foreign_patterns(contract)]
    return f"arrayConcat({', '.join([names, *arrays])})" if arrays else names


def checks(contract: Contract) -> list[Check]:
    """The branches of reject_reason in order: the fields as the contract lists them, relations, unknown names."""
    found = [
        Check("JSONType(raw) != 'Object'", quote(NOT_AN_OBJECT)),
        Check("length(arrayDistinct(keys)) < length(keys)", quote(DUPLICATE_FIELD)),
    ]
    for field in contract.fields:
        found += _field_checks(field)
    for rule in contract.rules:
        if rule.not_after:
            first, second = rule.not_after
            found.append(Check(f"in_{first} > in_{second}", quote(f"{first}: after {second}")))
        else:
            first, *others = rule.equal_length
            found += [
                Check(f"length(in_{first}) != length(in_{other})", quote(f"{first}: not as long as {other}"))
                for other in others
            ]
    names = ", ".join(quote(field.name) for field in contract.fields)
    unknown = f"arrayFirst(k -> (NOT has([{names}], k)), keys)"
    found.append(Check(f"NOT hasAll([{names}], keys)", f"concat('unknown field ', leftUTF8({unknown}, {NAME_LIMIT}))"))
    return found


def _field_checks(field: Field) -> list[Check]:
    value, name = parsed(field), field.name

    def reason(problem: str) -> str:
        return quote(f"{name}: {problem}")

    found = []
    if field.enum:
        problem = f"not one of {', '.join(field.enum)}"
        found.append(Check(f"{value} NOT IN ({', '.join(map(quote, field.enum))})", reason(problem)))
    else:
        found.append(Check(f"has(mistyped, {quote(name)})", reason(f"not {field.kind}")))
    if field.kind == "an integer":
        found.append(Check(f"({value} IS NULL) AND has(filled, {quote(name)})", reason("out of bounds")))
    absent = f"empty({value})" if field.item else f"{value} IS NULL"
    if field.required:
        found.append(Check(absent, reason("missing")))
    elif field.required_when:
        demands = [
            f"(in_{other} IN ({', '.join(map(quote, values))}))" for other, values in field.required_when.items()
        ]
        demanded = demands[0] if len(demands) == 1 else f"({' OR '.join(demands)})"
        found.append(
            Check(f"({absent}) AND {demanded}" if not field.item else f"{absent} AND {demanded}", reason("missing"))
        )
    if field.item:
        found.append(Check(f"length({value}) > {field.max_items}", reason(f"more than {field.max_items} items")))
    if field.item == "string":
        found.append(
            Check(
                f"arrayExists(x -> (length(x) > {field.max_length}), {value})",
                reason(f"an item longer than {field.max_length} bytes"),
            )
        )
    elif field.type == "string" and not field.enum:
        if not field.allow_empty:
            found.append(Check(f"{value} = ''", reason("empty")))
        found.append(Check(f"length({value}) > {field.max_length}", reason(f"longer than {field.max_length} bytes")))
    if bounds := _bounds(field):
        found.append(Check(bounds, reason("out of bounds")))
    return found


def _bounds(field: Field) -> str | None:
    """Condition under which the value, or an element, is out of bounds; None where its type alone bounds it."""
    value = parsed(field)
    if field.type == "timestamp_ms":
        return f"({value} < {EARLIEST_MS}) OR ({value} > latest_ms)"
    if field.type == "timestamp_us":
        return f"({value} < {EARLIEST_MS * 1000}) OR ({value} > (latest_ms * 1000))"
    low, high = field.bounds
    if (field.item or field.type) in ("uint64", "int64"):  # what the type allows has been checked by reading it
        low = None if field.min is None else low
        high = None if field.max is None else high
    lowest, highest = (f"arrayMin({value})", f"arrayMax({value})") if field.item else (value, value)
    sides = []
    if field.above is not None:
        sides.append(f"{lowest} <= {_number(field.above)}")
    elif low is not None:
        sides.append(f"{lowest} < {_number(low)}")
    if high is not None:
        sides.append(f"{highest} > {_number(high)}")
    condition = " OR ".join(f"({side})" for side in sides) if len(sides) > 1 else "".join(sides)
    if field.item and (field.above is not None or (low or 0) > 0 or (high or 0) < 0):
        return f"notEmpty({value}) AND ({condition})"  # the least of no elements is 0
    return condition or None


def render(contracts: list[Contract], project_dir: Path) -> dict[Path, str]:
    """Path (relative to the project) to text of every generated file; pure, writes nothing."""
    environment = Environment(
        loader=FileSystemLoader(project_dir / "templates" / "ingest"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is SQL; literals go through quote()
    )
    environment.filters["quote"] = quote
    files = {}
    for contract in contracts:
        reader = contract.consumers.clickhouse
        if reader is None:
            continue
        topic = contract.topic
        timed = any(field.type.startswith("timestamp") for field in contract.fields)
        context = {
            "contract": contract,
            "topic": topic,
            "reader": reader,
            "columns": [column(field) for field in contract.fields],
            "tuple": ", ".join(f"{field.name} {extract_type(field)}" for field in contract.fields),
            "parses": [
                Column(parsed(field), extract_type(field), f"tupleElement(r, {quote(field.name)})", "")
                for field in contract.fields
            ],
            "timed": timed,
            "day_ms": DAY_MS,
            "latest": f" WITH toUnixTimestamp64Milli(now64(3)) + {DAY_MS} AS latest_ms" if timed else "",
            "foreign": foreign(contract),
            "read": ", ".join(map(present, contract.fields)),
            "breaches": breaches(contract),
            "mistyped": mistyped(contract),
            "checks": checks(contract),
        }
        for template, target in (
            ("tables.sql.j2", _migration(topic, project_dir)),
            ("parsed_mv.sql.j2", Path("views/ingest") / f"{topic}_parsed_mv.sql"),
            ("checked_mv.sql.j2", Path("views/ingest") / f"{topic}_checked_mv.sql"),
            ("landing_mv.sql.j2", Path("views/ingest") / f"{topic}_landing_mv.sql"),
            ("odd_mv.sql.j2", Path("views/ingest") / f"{topic}_odd_mv.sql"),
            ("odd_landing_mv.sql.j2", Path("views/ingest") / f"{topic}_odd_landing_mv.sql"),
            ("rejected_mv.sql.j2", Path("views/ingest") / f"rejected_{topic}_mv.sql"),
        ):
            try:
                files[target] = environment.get_template(template).render(context)
            except TemplateError as error:
                raise ContractError(template_problem(error, "templates/ingest", template)) from error
    return files


def template_problem(error: TemplateError, folder: str, template: str) -> str:
    """What is wrong with a template, or with one that it includes, as `path:line: message`."""
    if isinstance(error, TemplateNotFound):
        asked = "" if error.name == template else f"; {template} includes it"
        return f"{folder}/{error.name}:1: is missing: restore it from the repository{asked}"
    if isinstance(error, TemplateSyntaxError):
        return f"{folder}/{error.name or template}:{error.lineno}: {error.message}"
    return f"{folder}/{template}:1: {error.message}"


def _migration(topic: str, project_dir: Path) -> Path:
    """The topic's migration: the file that is there, since an applied one keeps its number, else the next number."""
    folder = project_dir / "migrations"
    name = f"_create_{topic}_ingest.sql"
    for path in folder.glob(f"[0-9][0-9][0-9][0-9]{name}"):
        return path.relative_to(project_dir)
    last = max((int(path.name[:4]) for path in folder.glob("[0-9][0-9][0-9][0-9]_*.sql")), default=0)
    return Path("migrations") / f"{last + 1:04d}{name}"


def write(contracts: list[Contract], project_dir: Path) -> list[Path]:
    """Write the generated files that differ; returns which."""
    changed = stale(contracts, project_dir)
    for target, text in render(contracts, project_dir).items():
        if target in changed:
            (project_dir / target).parent.mkdir(parents=True, exist_ok=True)
            (project_dir / target).write_text(text, encoding="utf-8")
    return changed


def stale(contracts: list[Contract], project_dir: Path) -> list[Path]:
    """Generated files that are missing or differ from what the contracts render to."""
    return [
        target
        for target, text in render(contracts, project_dir).items()
        if not (project_dir / target).is_file() or (project_dir / target).read_text(encoding="utf-8") != text
    ]
