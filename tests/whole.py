"""A node with every topic, table and view in a few seconds: `chctl migrate` runs once, its data folder is copied.

`chctl migrate` itself is tested in tests/e2e/migrate; here it only makes what other tests stand on.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chctl import migrate, topics
from chctl.contracts import load_all
from chctl.node import broker
from chctl.node.run import NodeProcess, start_process
from chctl.settings import PROJECT_DIR, Settings

#: Starts a node on the test's own folder: `start(*arguments, brokers="", ...)`, see `start_process`.
Start = Callable[..., NodeProcess]


def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's folder of a node that was migrated and stopped; made by the first worker that asks."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # one of pytest-xdist's workers: the folder that all of them share
        shared = shared.parent
    made = shared / "whole_schema"
    with (shared / "whole_schema.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(shared / "whole_schema_node", made)
    return made


def _make(folder: Path, made: Path) -> None:
    node = start_process(folder)
    try:
        apply_topics(node.settings())
        migrate.migrate(node.settings())
    finally:
        node.stop()
        broker.stop(folder)
    (folder / "clickhouse").rename(made)


def apply_topics(settings: Settings) -> None:
    """Every topic of contracts/ on the settings' broker."""
    topics.apply(settings, topics.read(settings, load_all(PROJECT_DIR / "contracts")))


def lay(data_dir: Path, schema: Path, kafka: Settings | None = None) -> None:
    """Make the folder of a node that has the schema, and the topics: on the broker of `kafka`, or on one of its own.

    Topics come before the node: a consumer asks for one that is missing only every few minutes.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(schema, data_dir / "clickhouse", symlinks=True)
    own = {} if kafka else {"kafka_brokers": broker.ensure(data_dir, 0).address}
    apply_topics((kafka or Settings()).model_copy(update=own))
