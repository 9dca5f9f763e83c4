"""Renders a contract's ingest family into the plain SQL that is committed under migrations/ and views/ingest/.

The layout of the SQL stands in templates/ingest/; here are the expressions that depend on a field's type. Every
expression is total: a row of any shape gives a reason, never an exception, since a view that throws stalls the topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chctl.contracts import (
    DAY_MS,
    DUPLICATE_FIELD,
    EARLIEST_MS,
    INT64_MAX,
    NAME_LIMIT,
    NOT_AN_OBJECT,
    UINT64_MAX,
    Contract,
    Field,
)

#: Number of the migration that creates a topic's ingest tables: applied files never move, so the numbers stand here.
MIGRATIONS = {
    "market_l2": 2,
    "market_trades": 3,
    "user_actions": 4,
    "frontend_events": 5,
    "social_raw": 6,
    "social_processed": 7,
    "alerts": 8,
}
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
#: A JSON number, boolean, array or object, read as String, starts with one of these bytes, or is true or false.
_NON_STRING_BYTES = ", ".join(str(byte) for byte in sorted(b"-0123456789[{"))
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


def _element(field: Field) -> str:
    return {"string": "string", "float32": "float", "float64": "float"}.get(field.item or "", "integer")


def extract_type(field: Field) -> str:
    """Type that JSONExtract reads: Dynamic keeps a number's JSON type, so that "1" or 1.5 is not made an integer."""
    if field.item:
        return {"string": "Array(String)", "float": "Array(Float64)", "integer": "Array(Int64)"}[_element(field)]
    return "Nullable(String)" if field.type == "string" else "Dynamic"


def parsed(field: Field) -> str:
    """Name or expression of the parsed value in the landing view: NULL where absent or of a wrong type."""
    return f"r.{field.name}" if field.item or field.type == "string" else f"in_{field.name}"


def parse(field: Field) -> str | None:
    """Expression behind `in_<field>`; None for strings and arrays, which are read as they are."""
    if field.item or field.type == "string":
        return None
    value = f"r.{field.name}"
    if field.type == "bool":
        return f"dynamicElement({value}, 'Bool')"
    if field.type == "float64":
        return f"ifNull(dynamicElement({value}, 'Float64'), toFloat64(dynamicElement({value}, 'Int64')))"
    if field.type == "uint64":
        return (
            f"ifNull(dynamicElement({value}, 'UInt64'), accurateCastOrNull(dynamicElement({value}, 'Int64'), 'UInt64'))"
        )
    return f"dynamicElement({value}, 'Int64')"


def column(field: Field) -> Column:
    """Column of the landing table: typed, Nullable where the field may be absent, an empty array where an array may."""
    comment = field.description + (f" [{field.unit}]" if field.unit else "")
    value = parsed(field)
    if field.item:
        sql_type = f"Array({_COLUMN_TYPES[field.item]})"
        value = value if sql_type == extract_type(field) else f"CAST({value}, {quote(sql_type)})"
        return Column(field.name, sql_type, value, comment)
    sql_type = _COLUMN_TYPES[field.type]
    if field.required:
        value = f"ifNull({value}, {quote('') if field.type == 'string' else 'false' if field.type == 'bool' else 0})"
    if field.type == "timestamp_ms":
        value = f"fromUnixTimestamp64Milli({value}, 'UTC')"
    elif field.type == "timestamp_us":
        value = f"fromUnixTimestamp64Micro({value}, 'UTC')"
    elif field.type in ("uint8", "uint16", "uint32"):
        value = f"to{_COLUMN_TYPES[field.type]}({value})"
    return Column(field.name, sql_type if field.required else f"Nullable({sql_type})", value, comment)


def present(field: Field) -> str:
    """1 where the field was read as its type."""
    return f"notEmpty({parsed(field)})" if field.item else f"({parsed(field)} IS NOT NULL)"


def coerced(contract: Contract) -> str | None:
    """Whether the raw text has an array with an element that JSONExtract would coerce; None without arrays."""
    patterns = []
    for element, foreign in _FOREIGN_ELEMENT.items():
        names = [field.name for field in contract.fields if field.item and _element(field) == element]
        if names:
            patterns.append(rf'"(?:{"|".join(names)})"\s*:\s*\[{foreign}')
    return f"match(raw, {quote('|'.join(patterns))})" if patterns else None


def checks(contract: Contract) -> list[Check]:
    """The branches of reject_reason in order: the fields as the contract lists them, relations, unknown names."""
    found = [Check("(NOT complete) AND (JSONType(raw) != 'Object')", quote(NOT_AN_OBJECT))]
    for field in contract.fields:
        found += _array_checks(field) if field.item else _scalar_checks(field)
    for rule in contract.rules:
        if rule.not_after:
            first, second = (parsed(contract.by_name[name]) for name in rule.not_after)
            found.append(Check(f"{first} > {second}", quote(f"{rule.not_after[0]}: after {rule.not_after[1]}")))
        elif rule.equal_length:
            first, *others = rule.equal_length
            for other in others:
                found.append(
                    Check(f"length(r.{first}) != length(r.{other})", quote(f"{first}: not as long as {other}"))
                )
    names = ", ".join(quote(field.name) for field in contract.fields)
    found.append(
        Check(
            f"(NOT complete) AND (NOT hasAll([{names}], JSONExtractKeys(raw)))",
            f"concat('unknown field ', leftUTF8(arrayFirst(k -> (NOT has([{names}], k)), JSONExtractKeys(raw)), "
            f"{NAME_LIMIT}))",
        )
    )
    found.append(
        Check(
            "(NOT complete) AND (length(arrayDistinct(JSONExtractKeys(raw))) < JSONLength(raw))", quote(DUPLICATE_FIELD)
        )
    )
    return found


def _absent(field: Field) -> str | None:
    """Condition under which the absence of an optional field is an error; None for required and free fields."""
    conditions = [f"(r.{other} IN ({', '.join(map(quote, values))}))" for other, values in field.required_when.items()]
    return " OR ".join(conditions) or None


def _scalar_checks(field: Field) -> list[Check]:
    value, name = parsed(field), field.name
    demanded = _absent(field)
    found = []
    if field.type == "string":
        if field.required:
            found.append(Check(f"{value} IS NULL", quote(f"{name}: missing")))
        elif demanded:
            found.append(Check(f"({value} IS NULL) AND ({demanded})", quote(f"{name}: missing")))
        if field.enum:
            members = ", ".join(map(quote, field.enum))
            reason = quote(f"{name}: not one of {', '.join(field.enum)}")
            return [*found, Check(f"{value} NOT IN ({members})", reason)]
        found.append(
            Check(
                f"((ascii({value}) IN ({_NON_STRING_BYTES})) OR ({value} IN ('true', 'false'))) "
                f"AND (JSONType(raw, {quote(name)}) != 'String')",
                quote(f"{name}: not a string"),
            )
        )
        if not field.allow_empty:
            found.append(Check(f"{value} = ''", quote(f"{name}: empty")))
        found.append(
            Check(
                f"length({value}) > {field.max_length}",
                quote(f"{name}: longer than {field.max_length} bytes"),
            )
        )
        return found
    wrong = quote(f"not {field.kind}")
    if field.type in ("bool", "float64"):
        problem = f"if(JSONType(raw, {quote(name)}) = 'Null', 'missing', {wrong})"
    else:  # an integer of any size has the right type
        problem = (
            f"transform(toString(JSONType(raw, {quote(name)})), ['Null', 'Int64', 'UInt64'], "
            f"['missing', 'out of bounds', 'out of bounds'], {wrong})"
        )
    condition = f"{value} IS NULL"
    if not field.required:
        mistyped = f"(NOT complete) AND (JSONType(raw, {quote(name)}) != 'Null')"
        condition = f"({condition}) AND ({f'{demanded} OR ({mistyped})' if demanded else mistyped})"
    found.append(Check(condition, f"concat({quote(name + ': ')}, {problem})"))
    if bounds := _bounds(field, value):
        found.append(Check(bounds, quote(f"{name}: out of bounds")))
    return found


def _array_checks(field: Field) -> list[Check]:
    value, name = parsed(field), field.name
    pattern = rf'"{name}"\s*:\s*\[{_FOREIGN_ELEMENT[_element(field)]}'
    found = []
    if field.required or (demanded := _absent(field)):
        condition = f"empty({value}) AND (JSONType(raw, {quote(name)}) IN ('Null', 'Array'))"
        if not field.required:
            condition = f"{condition} AND ({demanded})"
        found.append(
            Check(f"{condition} AND (JSONLength(raw, {quote(name)}) = 0)", quote(f"{name}: missing")),
        )
    found.append(
        Check(
            f"(coerced AND match(raw, {quote(pattern)})) "
            f"OR (empty({value}) AND (NOT complete) AND (JSONType(raw, {quote(name)}) NOT IN ('Null', 'Array')))",
            quote(f"{name}: not {field.kind}"),
        )
    )
    found.append(
        Check(f"length({value}) > {field.max_items}", quote(f"{name}: more than {field.max_items} items")),
    )
    if field.item == "string":
        found.append(
            Check(
                f"arrayExists(x -> (length(x) > {field.max_length}), {value})",
                quote(f"{name}: an item longer than {field.max_length} bytes"),
            )
        )
    elif bounds := _bounds(field, "x"):
        found.append(Check(f"arrayExists(x -> ({bounds}), {value})", quote(f"{name}: out of bounds")))
    return found


def _bounds(field: Field, value: str) -> str | None:
    """Condition under which `value` is out of bounds; None where its type alone bounds it."""
    if field.type == "timestamp_ms":
        return f"({value} < {EARLIEST_MS}) OR ({value} > latest_ms)"
    if field.type == "timestamp_us":
        return f"({value} < {EARLIEST_MS * 1000}) OR ({value} > (latest_ms * 1000))"
    low, high = field.bounds
    sides = []
    if field.above is not None:
        sides.append(f"{value} <= {_number(field.above)}")
    elif low is not None and not (field.type == "uint64" and low == 0) and low != -(2**63):
        sides.append(f"{value} < {_number(low)}")
    if high is not None and high not in (INT64_MAX, UINT64_MAX) and not (field.item == "int64" and field.max is None):
        sides.append(f"{value} > {_number(high)}")
    return " OR ".join(f"({side})" for side in sides) if len(sides) > 1 else (sides[0] if sides else None)


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
        number = MIGRATIONS[topic]
        context = {
            "contract": contract,
            "topic": topic,
            "reader": reader,
            "migration": f"{number:04d}_create_{topic}_ingest.sql",
            "columns": [column(field) for field in contract.fields],
            "tuple": ", ".join(f"{field.name} {extract_type(field)}" for field in contract.fields),
            "parses": [(f"in_{field.name}", text) for field in contract.fields if (text := parse(field))],
            "timed": any(field.type.startswith("timestamp") for field in contract.fields),
            "day_ms": DAY_MS,
            "present": " + ".join(map(present, contract.fields)),
            "coerced": coerced(contract),
            "checks": checks(contract),
        }
        for template, target in (
            ("tables.sql.j2", Path("migrations") / str(context["migration"])),
            ("landing_mv.sql.j2", Path("views/ingest") / f"{topic}_landing_mv.sql"),
            ("rejected_mv.sql.j2", Path("views/ingest") / f"rejected_{topic}_mv.sql"),
        ):
            files[target] = environment.get_template(template).render(context)
    return files


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
