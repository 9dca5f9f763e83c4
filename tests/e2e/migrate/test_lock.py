"""One run at a time, and a dead one stands in nobody's way."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from chctl.lock import STALE_S, Holder, Lock, LockedError, LockLostError

from .conftest import Project


def lock(project: Project) -> Lock:
    return Lock(project.client, project.settings.clickhouse_database)


def test_a_second_run_is_told_who_holds_the_lock(project: Project) -> None:
    project.migrate()
    first, second = lock(project), lock(project)
    client = project.client()
    with first.held(client, 0), pytest.raises(LockedError, match=rf"pid {first.holder.pid} is migrating"):
        second.acquire(client, 0)
    second.acquire(client, 0)
    second.release(client)


def test_a_waiting_run_goes_on_once_the_lock_is_free(project: Project) -> None:
    project.migrate()
    first, second = lock(project), lock(project)
    client = project.client()
    first.acquire(client, 0)
    waiting = threading.Thread(target=lambda: second.acquire(project.client(), 20))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    first.release(client)
    waiting.join(20)
    assert not waiting.is_alive()
    second.verify(client)
    second.release(client)


def test_of_many_runs_that_find_a_dead_holder_one_gets_the_lock(project: Project) -> None:
    project.migrate()
    client = project.client()
    dead = lock(project)
    dead.holder = replace(Holder.me(), process_start="of a process that is gone")
    dead.acquire(client, 0)
    runs = [lock(project) for _ in range(6)]
    held: list[Lock] = []

    def contend(run: Lock) -> None:
        try:
            run.acquire(project.client(), 0)
        except LockedError:
            return
        held.append(run)

    threads = [threading.Thread(target=contend, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(held) == 1
    held[0].verify(client)
    with pytest.raises(LockLostError, match="another run has taken the lock over"):
        dead.verify(client)
    dead.release(client)  # must not free the other's lock
    held[0].verify(client)
    held[0].release(client)


def test_a_holder_on_another_host_is_dead_only_without_heartbeats() -> None:
    holder = replace(Holder.me(), host="elsewhere", process_start="unknown here")
    assert not holder.is_dead(STALE_S - 1)
    assert holder.is_dead(STALE_S + 1)


def test_a_reused_pid_does_not_pass_for_the_holder() -> None:
    me = Holder.me()
    assert not me.is_dead(10 * STALE_S)
    assert replace(me, process_start="1").is_dead(0)
