"""One feeder delivers, any number stand by: a lease kept in ClickHouse.

The lease is a row of `alert_feeder_leases`. Whoever wants epoch N+1 inserts it with the insert deduplication token
"<name>:<N+1>": ClickHouse keeps the first block of a token and drops every other in silence, so reading the row back
tells who won. No Keeper, no DDL, the same on MergeTree and ReplicatedMergeTree. Beats prolong a lease; all ages are
taken from the node's clock, and the holder trusts its own monotonic clock only from before the beat was sent, so it
always stops earlier than another may start.
"""

from __future__ import annotations

import time

from clickhouse_connect.driver.client import Client


class Lease:
    """The right to deliver, held by at most one owner at a time. `ttl`: seconds without a beat until it is free."""

    def __init__(self, client: Client, owner: str, *, ttl: float = 15.0, name: str = "alerts") -> None:
        self.client, self.owner, self.ttl, self.name = client, owner, ttl, name
        self.epoch = 0
        self._until = 0.0

    @property
    def held(self) -> bool:
        """True while this owner may deliver; turns false by itself when beats fail."""
        return time.monotonic() < self._until

    def acquire(self) -> bool:
        """Take the lease if it is free or expired, or prolong it if it is ours. Raises when the node is away."""
        started = time.monotonic()
        epoch, owner, age, released = self._current()
        if epoch and owner == self.owner and not released:
            self.epoch = epoch
            return self._beat(started)
        self._until = 0.0
        if epoch and not released and age < self.ttl:
            return False
        epoch += 1
        self._insert(
            "alert_feeder_leases",
            {"name": self.name, "epoch": epoch, "owner": self.owner},
            insert_deduplicate=1,
            insert_deduplication_token=f"{self.name}:{epoch}",
        )
        won, owner, _, _ = self._current()
        if (won, owner) != (epoch, self.owner):
            return False
        self.epoch = epoch
        return self._beat(started)

    def release(self) -> None:
        """Give the lease back at once, so that a stand-by need not wait for it to expire."""
        if self.epoch:
            self._until = 0.0
            self._insert_beat(released=1)
            self.epoch = 0

    def _beat(self, started: float) -> bool:
        self._insert_beat(released=0)
        epoch, owner, _, _ = self._current()  # somebody may have found it expired just before the beat
        if (epoch, owner) != (self.epoch, self.owner):
            self._until = 0.0
            return False
        self._until = started + self.ttl
        return True

    def _insert_beat(self, released: int) -> None:
        self._insert("alert_feeder_beats", {"name": self.name, "epoch": self.epoch, "released": released})

    def _insert(self, table: str, row: dict[str, object], **settings: object) -> None:
        # Never asynchronous: the answer must mean stored, or dropped as the second of its token.
        self.client.insert(table, [list(row.values())], list(row), settings={"async_insert": 0, **settings})

    def _current(self) -> tuple[int, str, float, bool]:
        """(epoch, owner, seconds since its last sign of life, released); epoch 0 when nobody ever held it."""
        rows = self.client.query(
            """
            SELECT
                leases.epoch,
                leases.owner,
                dateDiff('millisecond', greatest(leases.taken_time, beats.beat_time), now64(3)) / 1000,
                beats.released
            FROM
            (
                SELECT epoch, owner, taken_time
                FROM alert_feeder_leases
                WHERE name = {name:String}
                ORDER BY epoch DESC
                LIMIT 1
            ) AS leases
            LEFT JOIN
            (
                SELECT epoch, max(beat_time) AS beat_time, max(released) AS released
                FROM alert_feeder_beats
                WHERE name = {name:String}
                GROUP BY epoch
            ) AS beats ON beats.epoch = leases.epoch
            """,
            parameters={"name": self.name},
        ).result_rows
        if not rows:
            return 0, "", 0.0, False
        epoch, owner, age, released = rows[0]
        return int(epoch), str(owner), float(age), bool(released)
