"""`chctl cluster`: the same SQL for more than one node: replicated engines, ON CLUSTER, dashboards over every shard.

The files of migrations/ and views/ stay as they are for one node. `render` writes a copy of the project for a cluster,
which every command then uses by CHCTL_PROJECT_DIR, so that it can be read and planned before anything runs.

- A MergeTree table becomes a Replicated one; its path in Keeper comes from the server's default_replica_path.
- CREATE, ALTER, DROP and their like run ON CLUSTER.
- Kafka tables stay as they are: all nodes are members of one consumer group, and share the partitions. A key (a book,
  an account) is always on one partition, so the rules of that key see all of it on one node.
- What a dash_ view reads becomes cluster(...): one replica of each shard.
- What there is one of gets one path in Keeper for all shards: tables that a migration fills (thresholds, owners,
  names), since an INSERT runs once, and the outbox with what belongs to it (alert...), since one feeder reads it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from chctl.project import Project
from chctl.sqltext import statements

_ENGINE = re.compile(
    r"(\bENGINE\s*=\s*)((?:Replacing|Aggregating|Summing|Collapsing|Coalescing)?MergeTree)(\s*\(([^()]*)\))?"
)
_CREATE = re.compile(
    r"(\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:TABLE|MATERIALIZED\s+VIEW|VIEW|DICTIONARY|FUNCTION)"
    r"\s+(?:IF\s+NOT\s+EXISTS\s+)?`?\w+`?)"
)
_CHANGE = re.compile(
    r"(\b(?:(?:ALTER|TRUNCATE|OPTIMIZE)\s+TABLE|DROP\s+(?:TABLE|VIEW|DICTIONARY))\s+(?:IF\s+EXISTS\s+)?`?\w+`?)"
)
_INSERT = re.compile(r"\s*INSERT\s+INTO\s+`?(\w+)`?")
_NAME = re.compile(r"[A-Za-z_]\w*")
COPIED = ("contracts", "templates", "deploy")


class ClusterError(ValueError):
    """The copy cannot be written; the text says why."""


def statement(sql: str, cluster: str, *, shared: bool = False) -> str:
    """One statement for a cluster; `shared`: a table that is the same on every shard."""
    head, space, rest = _split_comments(sql)
    place = "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'" if shared else ""

    def engine(found: re.Match[str]) -> str:
        arguments = ", ".join(part for part in (place, (found[4] or "").strip()) if part)
        return f"{found[1]}Replicated{found[2]}" + (f"({arguments})" if arguments else "")

    rest = _CREATE.sub(rf"\1 ON CLUSTER '{cluster}'", rest, count=1)
    rest = _CHANGE.sub(rf"\1 ON CLUSTER '{cluster}'", rest, count=1)
    return head + space + _ENGINE.sub(engine, rest, count=1)


def dashboard(sql: str, cluster: str, stored: frozenset[str]) -> str:
    """The query of a dash_ view, reading every shard of the tables in `stored`."""
    names = "|".join(sorted(stored))
    return re.sub(
        rf"\b(FROM|JOIN)(\s+)({names})\b",
        lambda found: f"{found[1]}{found[2]}cluster('{cluster}', currentDatabase(), '{found[3]}')",
        sql,
    )


def _split_comments(sql: str) -> tuple[str, str, str]:
    found = re.match(r"((?:\s*--[^\n]*\n)*)(\s*)", sql)
    assert found
    return found[1], found[2], sql[found.end() :]


def render(project: Project, cluster: str) -> dict[str, str]:
    """Every SQL file by its path, for this cluster. Raises ClusterError on a name that is none."""
    if not _NAME.fullmatch(cluster):
        raise ClusterError(f"{cluster!r} names no cluster: letters, digits and _, as in remote_servers of the servers")
    filled = {found[1] for m in project.migrations for one in m.statements if (found := _INSERT.match(one.sql))}
    created = re.compile(r"CREATE\s+TABLE\s+IF\s+NOT\s+EXISTS\s+`?(\w+)`?")
    stored = {
        found[1]
        for migration in project.migrations
        for one in migration.statements
        if _ENGINE.search(one.sql) and (found := created.search(one.sql))
    }
    common = filled | {name for name in stored if name.startswith("alert")}
    sharded = frozenset(stored - common)
    files: dict[str, str] = {}
    for migration in project.migrations:
        parts = []
        for one in statements(migration.script):
            made = created.search(one.sql)
            comment = f"{one.comment.rstrip()}\n" if one.comment.strip() else ""
            parts.append(comment + statement(one.sql, cluster, shared=bool(made and made[1] in common)) + ";\n")
        files[migration.path] = "\n".join(parts)
        if migration.down:
            files[migration.down] = "\n".join(
                statement(one.sql, cluster) + ";\n" for one in statements((project.dir / migration.down).read_text())
            )
    for view in project.views:
        text = (project.dir / view.path).read_text()
        name = Path(view.path).stem
        if name.startswith("dash_"):
            text = dashboard(text, cluster, sharded)
        files[view.path] = statement(text, cluster)
    return files


def write(project: Project, cluster: str, out: Path) -> list[Path]:
    """Write a project for the cluster into an empty folder; the paths written. Raises ClusterError and OSError."""
    files = render(project, cluster)
    if out.exists() and any(out.iterdir()):
        raise ClusterError(f"{out} is not empty: give a new folder, so that no file of an earlier one is left")
    for name in COPIED:
        if (project.dir / name).is_dir():
            shutil.copytree(project.dir / name, out / name)
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    return [out / name for name in files]
