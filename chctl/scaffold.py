"""`chctl new`: the first version of a migration, view, rule or stream, from templates/."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from chctl.migrate import MigrateError
from chctl.project import read_migrations
from chctl.render import template_problem

_NAME = re.compile(r"[a-z][a-z0-9_]{1,60}")


def _render(project_dir: Path, template: str, **context: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(project_dir / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is SQL and YAML; names are checked by _checked
    )
    try:
        return environment.get_template(template).render(context)
    except TemplateError as error:
        raise MigrateError(template_problem(error, "templates", template)) from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise MigrateError(f"{name!r} is no name: use lower case, digits and underscores, such as create_trades")
    return name


def _write(project_dir: Path, path: str, text: str) -> Path:
    """Write a new file; never over one that exists."""
    file = project_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise MigrateError(f"{path} exists already: edit it, or choose another name") from error
    return file


def next_number(project_dir: Path) -> int:
    """The number after the last migration."""
    return max((m.version for m in read_migrations(project_dir)), default=0) + 1


def new_migration(project_dir: Path, name: str) -> list[Path]:
    """migrations/NNNN_<name>.sql with the next number. Raises MigrateError."""
    name = _checked(name)
    text = _render(project_dir, "migration.sql.j2", name=name, object=re.sub(r"^[a-z]+_", "", name))
    return [_write(project_dir, f"migrations/{next_number(project_dir):04d}_{name}.sql", text)]


def new_view(project_dir: Path, name: str, folder: str, source: str) -> list[Path]:
    """views/<folder>/<name>.sql: a materialized view where the name ends in _mv, else a plain one."""
    name = _checked(name)
    materialized = name.endswith("_mv")
    context = {"materialized": materialized, "target": name.removesuffix("_mv"), "source": source}
    text = _render(project_dir, "view.sql.j2", name=name, **context)
    return [_write(project_dir, f"views/{folder}/{name}.sql", text)]


def new_rule(project_dir: Path, name: str, source: str) -> list[Path]:
    """views/alerts/alert_<name>_mv.sql, and a migration with its thresholds, switched off."""
    rule = _checked(name)
    path = f"views/alerts/alert_{rule}_mv.sql"
    view = _write(project_dir, path, _render(project_dir, "rule.sql.j2", rule=rule, path=path, source=source))
    number = next_number(project_dir)
    text = _render(project_dir, "rule_migration.sql.j2", rule=rule)
    return [view, _write(project_dir, f"migrations/{number:04d}_set_{rule}_thresholds.sql", text)]


def new_stream(project_dir: Path, name: str) -> list[Path]:
    """contracts/<name>.yaml: from it `chctl contracts render` makes the ingest family."""
    topic = _checked(name)
    return [_write(project_dir, f"contracts/{topic}.yaml", _render(project_dir, "stream.yaml.j2", topic=topic))]
