"""One server of a cluster for test_keeper.py: a ClickHouse of its own in a process of its own, and Keeper between them.

    python -m tests.e2e.migrate.replica <folder> <config.xml> <project> <command>

Commands: `hold` holds the lock until it is killed, `migrate` prints {"error": ...} where the run was refused,
`contend <runs>`, `holder`. Prints one JSON object; logs go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from chctl import logs
from chctl.lock import Holder, Lock
from chctl.migrate import ERRORS, Options, migrate
from chctl.settings import Settings
from chctl.status import read

DATABASE = "together"


def main(folder: str, config: str, project: str, command: str, argument: str = "0") -> dict[str, object]:
    def open_client() -> Client:
        return clickhouse_connect.get_client(interface="chdb", path=folder, chdb_options={"config-file": config})

    settings = Settings(project_dir=Path(project), clickhouse_database=DATABASE)
    logs.configure(settings)
    client = open_client()
    if command == "migrate":
        try:
            report = migrate(settings, Options(wait_s=0), open_client=open_client)
        except ERRORS as error:
            return {"error": str(error)}
        return {"migrations": report.migrations, "resumed": report.resumed}
    if command == "holder":
        return {"holder": read(settings, open_client=open_client).holder}
    if command == "hold":
        client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        with Lock(open_client, DATABASE).held(client, 0):
            print("{}", flush=True)
            threading.Event().wait()  # until it is killed
    return {"held": contend(open_client, client, int(argument))}


def contend(open_client, client: Client, runs: int) -> int:  # type: ignore[no-untyped-def]
    """How many of `runs` get the lock of a holder that is dead, all at once."""
    client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    dead = Lock(open_client, DATABASE)
    dead.holder = replace(Holder.me(), process_start="of a process that is gone")
    dead.acquire(client, 0)
    held: list[Lock] = []

    def run() -> None:
        lock = Lock(open_client, DATABASE)
        try:
            lock.acquire(open_client(), 0)
        except ERRORS:
            return
        held.append(lock)

    threads = [threading.Thread(target=run) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    dead.release(client)  # must not free another's lock
    for lock in held:
        lock.verify(client)
        lock.release(client)
    return len(held)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
    os._exit(0)  # chDB's own shutdown takes seconds
