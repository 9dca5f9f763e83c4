"""All of migrations/ and views/ on one scratch ClickHouse, with stand-ins for the Kafka tables; given rows go in."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chctl.contracts import Contract, encode
from chctl.optional import refusal
from chctl.project import Project
from chctl.scratch import Scratch, ScratchError
from chctl.settings import PROJECT_DIR
from chctl.sqltext import ObjectDef, SqlError, parse_object
from chctl.views import apply_order

_NOW = re.compile(r"@now(?:([+-]\d+)(ms|s|m|h|d))?")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: What a reader's stand-in has beside its own columns: the columns that the Kafka engine adds.
_KAFKA_COLUMNS = (
    "_topic LowCardinality(String), _key String, _offset UInt64, _partition UInt64, "
    "_timestamp Nullable(DateTime), _timestamp_ms Nullable(DateTime64(3))"
)


class Pipeline:
    """The node's SQL without a broker.

    A Kafka table that is read becomes a Null table of the same name, with the virtual columns; one that is written
    becomes a Memory table, so that what would be sent can be expected.
    """

    def __init__(self, project_dir: Path = PROJECT_DIR) -> None:
        self.project = Project.read(project_dir)
        self.contracts: dict[str, Contract] = self.project.contracts
        self.engine = Scratch()
        self._offset = 0
        self.engine.query("CREATE DATABASE chctl ENGINE = Atomic")
        self.engine.query("USE chctl")
        for migration in self.project.migrations:
            for statement in migration.statements:
                try:
                    self._apply(statement.sql)
                except ScratchError as error:
                    if (words := refusal(statement)) == "" or words not in str(error):
                        raise
        for view in apply_order(self.project.views, self.project.relays):
            self._apply(view.definition.sql)
        self.engine.query("SYSTEM STOP TTL MERGES")
        stored = self.engine.rows(
            "SELECT name, total_rows > 0 AS seeded FROM system.tables WHERE database = 'chctl' "
            "AND (engine LIKE '%MergeTree' OR engine = 'Memory') ORDER BY name"
        )
        self._stored = [row["name"] for row in stored]
        self._seeds = {row["name"]: f"seed_of_{row['name']}" for row in stored if row["seeded"]}
        for table, seed in self._seeds.items():
            self.engine.query(f"CREATE TABLE {seed} ENGINE = Memory AS SELECT * FROM {table}")

    def close(self) -> None:
        self.engine.close()

    def _apply(self, sql: str) -> None:
        try:
            definition = parse_object(sql)
        except SqlError:
            self.engine.query(sql)  # an ALTER or INSERT
            return
        if definition.refresh:  # a test says when: SYSTEM REFRESH VIEW
            sql = re.sub(r"REFRESH EVERY \d+ \w+", "REFRESH EVERY 1 YEAR", sql, count=1)
        self.engine.query(_stand_in(definition) if definition.kind == "kafka" else sql)

    def reset(self) -> None:
        """Empty every table, but for the rows that migrations put there."""
        for table in self._stored:
            self.engine.query(f"TRUNCATE TABLE {table}")
        for table, seed in self._seeds.items():
            self.engine.query(f"INSERT INTO {table} SELECT * FROM {seed}")
        self.engine.query("SYSTEM RELOAD DICTIONARIES")

    def refresh(self, view: str) -> None:
        """Run a refreshable view once, to its end."""
        self.engine.query(f"SYSTEM REFRESH VIEW {view}")
        self.engine.query(f"SYSTEM WAIT VIEW {view}")

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        """One block of rows into a table; columns that a row leaves out have their defaults."""
        body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        columns = ", ".join(f"`{name}`" for name in dict.fromkeys(name for row in rows for name in row))
        self.engine.query(
            f"INSERT INTO {table} ({columns}) SETTINGS date_time_input_format = 'best_effort' FORMAT JSONEachRow {body}"
        )
        self.engine.query("SYSTEM RELOAD DICTIONARIES")

    def produce(self, topic: str, lines: list[str]) -> None:
        """Lines of one message of a topic, as the Kafka engine would hand them on."""
        self._offset += 1
        virtual = {"_topic": topic, "_partition": 0, "_offset": self._offset}
        self.insert(f"kafka_{topic}", [{"raw": line, **virtual} for line in lines])

    def give(self, blocks: Iterable[list[dict[str, Any]]], now_ms: int | None = None) -> None:
        """Run given.ndjson, already split into blocks; see README.md."""
        now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        for block in blocks:
            first = block[0]
            if "sql" in first:
                now = f"fromUnixTimestamp64Milli(toInt64({now_ms}), 'UTC')"
                self.engine.query(first["sql"].replace("@now", now))
            elif "refresh" in first:
                self.refresh(first["refresh"])
            elif "topic" in first:
                contract = self.contracts[first["topic"]]
                lines = [
                    line["raw"] if "raw" in line else encode(epoch(line["row"], contract, now_ms)) for line in block
                ]
                self.produce(contract.topic, lines)
            else:
                self.insert(first["table"], [dated(line["row"], now_ms) for line in block])

    def select(self, table: str, columns: list[str]) -> list[dict[str, Any]]:
        """Rows of a table or view, repeats replaced (FINAL), in no order that matters."""
        names = ", ".join(f"`{name}`" for name in columns)
        engine = self.engine.query(
            f"SELECT engine FROM system.tables WHERE database = 'chctl' AND name = '{table}'"
        ).strip()
        assert engine, f"no table or view {table}"
        final = " FINAL" if re.match(r"(Replacing|Aggregating|Summing|Collapsing|Coalescing)", engine) else ""
        return self.engine.rows(f"SELECT {names} FROM {table}{final}")


def blocks(path: Path) -> list[list[dict[str, Any]]]:
    """Lines of a file; consecutive ones of one table or topic are one block, which an empty line ends."""
    found: list[list[dict[str, Any]]] = []
    last: Any = None
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip():
            last = None
            continue
        if text.startswith("#"):
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        target = line.get("table") or line.get("topic")
        if target is None or target != last:
            found.append([])
        found[-1].append(line)
        last = target
    return found


def dated(row: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """`@now-5s` as ClickHouse reads a DateTime64."""

    def text(value: Any) -> Any:
        moment = _moment(value, now_ms)
        if moment is None:
            return value
        return dt.datetime.fromtimestamp(moment / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    return {name: text(value) for name, value in row.items()}


def epoch(row: dict[str, Any], contract: Contract, now_ms: int) -> dict[str, Any]:
    """`@now-5s` as a topic writes times: milliseconds or microseconds, as the contract says."""
    result = dict(row)
    for name, value in row.items():
        moment = _moment(value, now_ms)
        if moment is not None:
            field = contract.by_name.get(name)
            result[name] = moment * 1000 if field is not None and field.type == "timestamp_us" else moment
    return result


def _moment(value: Any, now_ms: int) -> int | None:
    found = _NOW.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    return now_ms + (int(found[1]) * _UNITS_MS[found[2]] if found[1] else 0)


def _stand_in(definition: ObjectDef) -> str:
    columns = ", ".join(f"`{name}` {rest}" for name, rest in definition.columns)
    if definition.name.startswith("to_kafka_"):
        return f"CREATE TABLE IF NOT EXISTS {definition.name} ({columns}) ENGINE = Memory"
    return f"CREATE TABLE IF NOT EXISTS {definition.name} ({columns}, {_KAFKA_COLUMNS}) ENGINE = Null"
