"""`chctl migrate` with nothing to do, beside clickhouse-migrations' own command line and a bare `SELECT 1`.

A node of its own gets 200 migrations and 100 views; then each command runs again on the unchanged tree, in turn, as a
process and (chctl, SELECT 1) as a call in this process. Node and commands share this machine's cores: the CPU time of a
process says more than its duration on a machine that does other things as well.

    python bench/migrate.py [--migrations 200] [--views 100] [--repeats 7] [--json]

Goal: chctl under a second more than the bare SELECT 1 by the same client, and no slower than clickhouse-migrations,
which looks at the migrations only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chctl.clickhouse import connect
from chctl.migrate import migrate
from chctl.node import broker
from chctl.node.run import start_process
from chctl.settings import Settings


def write_project(folder: Path, migrations: int, views: int) -> None:
    """A tree of that many tables, and views over them."""
    (folder / "migrations").mkdir()
    (folder / "views").mkdir()
    for n in range(1, migrations + 1):
        (folder / f"migrations/{n:04d}_create_t{n}.sql").write_text(
            f"-- Table {n}.\nCREATE TABLE IF NOT EXISTS t{n} (id UInt64, n UInt64) ENGINE = Null;\n"
        )
    for n in range(1, views + 1):
        (folder / f"views/v{n}.sql").write_text(
            f"-- View {n}.\nCREATE VIEW IF NOT EXISTS v{n} AS\nSELECT id, sum(n) AS n\nFROM t{n}\nGROUP BY id;\n"
        )


def seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def cpu_of_children() -> float:
    """CPU seconds of every process that this one has waited for; the node is not among them while it runs."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def select_1(settings: Settings) -> None:
    """Connect, ask, close: what any client pays."""
    with connect(settings) as client:
        client.query("SELECT 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--migrations", type=int, default=200)
    parser.add_argument("--views", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as project:
        node = start_process(Path(data))
        try:
            write_project(Path(project), options.migrations, options.views)
            settings = node.settings(project_dir=Path(project))
            first = seconds(lambda: migrate(settings))
            binaries = Path(sys.executable).parent
            environment = os.environ | {
                "CHCTL_PROJECT_DIR": project,
                "CHCTL_CLICKHOUSE_URL": settings.clickhouse_url,
                "CHCTL_CLICKHOUSE_DATABASE": settings.clickhouse_database,
            }
            theirs = [
                str(binaries / "clickhouse-migrations"),
                *("migrate", "--driver", "clickhouse-connect", "--db-url", settings.clickhouse_url),
                *("--db-name", settings.clickhouse_database, "--migrations-dir", f"{project}/migrations"),
            ]

            def run(command: list[str]) -> None:
                subprocess.run(command, env=environment, check=True, capture_output=True)

            bare = "from chctl.clickhouse import connect; from chctl.settings import settings as s;"
            bare += "connect(s()).query('SELECT 1')"
            cases: dict[str, Callable[[], object]] = {
                "SELECT 1, in process": lambda: select_1(settings),
                "chctl migrate, in process": lambda: migrate(settings),
                "SELECT 1, command": lambda: run([sys.executable, "-c", bare]),
                "chctl migrate, command": lambda: run([str(binaries / "chctl"), "migrate"]),
                "clickhouse-migrations, command": lambda: run(theirs),
            }
            taken: dict[str, list[float]] = {name: [] for name in cases}
            used: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(options.repeats):
                for name, call in cases.items():
                    before = cpu_of_children()
                    taken[name].append(seconds(call))
                    used[name].append(cpu_of_children() - before)
        finally:
            node.stop()
            broker.stop(Path(data))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    cpu = {name: statistics.median(values) for name, values in used.items() if name.endswith("command")}
    medians["first chctl migrate, in process"] = first
    extra = medians["chctl migrate, in process"] - medians["SELECT 1, in process"]
    extra_command = medians["chctl migrate, command"] - medians["SELECT 1, command"]
    ratio = medians["chctl migrate, command"] / medians["clickhouse-migrations, command"]
    if options.json:
        print(
            json.dumps(
                medians
                | {
                    "cpu_s": cpu,
                    "over_select_1_s": extra,
                    "command_over_select_1_s": extra_command,
                    "ratio_to_clickhouse_migrations": ratio,
                }
            )
        )
        return
    print(f"{options.migrations} migrations, {options.views} views, median of {options.repeats}, nothing to do")
    for name, value in medians.items():
        spent = f", {cpu[name] * 1000:.0f} ms of CPU" if name in cpu else ""
        print(f"  {name:34}{value * 1000:9.1f} ms{spent}")
    print(f"  over SELECT 1: {extra * 1000:.1f} ms in process, {extra_command * 1000:.1f} ms as a command")
    print(f"  {ratio:.2f} times the time of clickhouse-migrations' command")


if __name__ == "__main__":
    main()
