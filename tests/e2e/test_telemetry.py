"""OTLP as a collector receives it: one trace an alert from its source to each channel, metrics and logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import Response

from chctl.node import broker
from chctl.node.run import NodeProcess
from chctl.settings import Settings
from chctl.telemetry import otlp_metrics
from chctl.tracing import trace_id
from tests.e2e.alert_kit import create_tables, deliveries, raise_alerts, start_feeder
from tests.receiver import Got, Receiver
from tests.waiting import wait_for


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Both the collector and the webhook."""
    it = Receiver().start()
    yield it
    it.stop()


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def bodies(receiver: Receiver, path: str) -> list[bytes]:
    return [got.body for got in receiver.got if got.path == path]


def spans(receiver: Receiver) -> list[Span]:
    return [
        span
        for body in bodies(receiver, "/v1/traces")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def logged(receiver: Receiver) -> set[str]:
    return {
        record.body.string_value
        for body in bodies(receiver, "/v1/logs")
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    }


def test_an_alert_is_one_trace_from_its_source_to_its_channel(
    client: Client, settings: Settings, receiver: Receiver
) -> None:
    create_tables(client)
    failed = False

    def script(got: Got) -> Response | None:
        nonlocal failed
        if got.path == "/hook" and not failed:
            failed = True
            return Response("busy", 503)
        return None

    receiver.script = script
    feeder = start_feeder(
        settings.model_copy(update={"kafka_brokers": "127.0.0.1:1"}),
        "--webhook",
        receiver.url(),
        CHCTL_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}",
        CHCTL_OTLP_INTERVAL_S="0.5",
        CHCTL_OTLP_API_KEY="s3cret",
    )
    try:
        now = time.time_ns() // 1_000_000_000
        happened = [(now, 1.25, 8), (now - 3, 0.5, 7), (now + 2, 1.0, 9)]  # the last is after the second that raised it
        client.insert(
            "user_transfers",
            [[*map(utc, (when, when + late, when + late + 0.5)), 42, 3, offset] for when, late, offset in happened],
            column_names=["event_time", "receive_time", "ingest_time", "user_id", "partition", "offset"],
        )
        client.insert(
            "book_deltas",
            [[*map(utc, (now, now, now + 0.25, now + 0.5)), "kraken", "XBT", 1, 5]],
            column_names=[
                *("window_start", "event_time", "receive_time", "ingest_time"),
                *("venue", "symbol", "partition", "offset"),
            ],
        )
        book = {"alert_id": "a3", "venue": "kraken", "symbol": "XBT", "entity": "kraken:XBT", "raised_time": now + 0.75}
        raise_alerts(client, [{"alert_id": "a1", "user_id": 42, "raised_time": float(now)}, {"alert_id": "a2"}, book])
        wait_for(lambda: len(deliveries(client, "delivered")) == 3)
    finally:
        assert feeder.stop() == 0

    mine = [span for span in spans(receiver) if span.trace_id.hex() == trace_id("a1")]
    hops = {"venue to producer firing", "ingest firing", "raise firing", "outbox to feeder firing", "deliver webhook"}
    assert {span.name for span in mine} == hops
    (ingest,) = [span for span in mine if span.name == "ingest firing"]
    said = {a.key: a.value.string_value or a.value.int_value for a in ingest.attributes}
    assert said["messaging.destination.name"] == "user_actions"
    assert (said["messaging.destination.partition.id"], said["messaging.kafka.offset"]) == ("3", 8)
    second = 1_000_000_000
    assert (ingest.start_time_unix_nano - now * second, ingest.end_time_unix_nano - now * second) == (
        1.25 * second,
        1.75 * second,
    )
    # a3 is about a book: its way begins at the venue's message, too
    of_book = {span.name: span for span in spans(receiver) if span.trace_id.hex() == trace_id("a3")}
    assert of_book.keys() == hops
    lasted = {name: span.end_time_unix_nano - span.start_time_unix_nano for name, span in of_book.items()}
    ways = ("venue to producer firing", "ingest firing", "raise firing")
    assert [lasted[name] for name in ways] == [0.25 * second] * 3
    # a2 is about a book of which no row is stored: its trace begins at the evidence
    other = {span.name for span in spans(receiver) if span.trace_id.hex() == trace_id("a2")}
    assert other == {"source to outbox firing", "outbox to feeder firing", "deliver webhook"}
    for table in ("alert_deliveries", "alerts_history"):
        named = client.query(f"SELECT DISTINCT alert_id, trace_id FROM {table} ORDER BY alert_id").result_rows
        assert named == [(alert, trace_id(alert)) for alert in ("a1", "a2", "a3")]
    statuses = {
        attribute.value.int_value
        for span in spans(receiver)
        for attribute in span.attributes
        if "status" in attribute.key
    }
    assert statuses == {503, 204}

    assert "this feeder delivers" in logged(receiver)
    last = ExportMetricsServiceRequest.FromString(bodies(receiver, "/v1/metrics")[-1]).resource_metrics[0]
    assert {a.key: a.value.string_value for a in last.resource.attributes}["service.name"] == "chctl-feed-alerts"
    attempts = [m for m in last.scope_metrics[0].metrics if m.name == "chctl_alert_attempts"]
    assert sorted(point.as_double for point in attempts[0].sum.data_points) == [1.0, 3.0]
    keys = {got.headers.get("authorization") for got in receiver.got if got.path.startswith("/v1/")}
    assert keys == {"s3cret"}
    assert not feeder.said("s3cret")


def test_the_node_exports_too_and_a_collector_that_is_away_does_not_hold_it_up(
    fresh_node: Callable[..., NodeProcess], receiver: Receiver
) -> None:
    endpoint = {"CHCTL_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}", "CHCTL_OTLP_INTERVAL_S": "0.3"}
    node = fresh_node(environment=endpoint)
    wait_for(lambda: bodies(receiver, "/v1/metrics"))
    sent = ExportMetricsServiceRequest.FromString(bodies(receiver, "/v1/metrics")[-1]).resource_metrics[0]
    assert {a.key: a.value.string_value for a in sent.resource.attributes}["service.name"] == "chctl-node"
    assert "process_resident_memory_bytes" in {metric.name for metric in sent.scope_metrics[0].metrics}
    broker.stop(node.data_dir)  # that is what the node has to say
    wait_for(lambda: any(text.startswith("the broker has ended") for text in logged(receiver)))
    receiver.stop()
    started = time.monotonic()
    assert node.stop(timeout=15) == 0
    assert time.monotonic() - started < 10


def test_prometheus_metrics_keep_their_meaning_as_otlp() -> None:
    registry = CollectorRegistry()
    Counter("rows", "Rows.", ["topic"], registry=registry).labels("trades").inc(7)
    Gauge("lag", "Lag.", registry=registry).set(2.5)
    histogram = Histogram("delay", "Delay.", registry=registry, buckets=(1, 2))
    for seconds in (0.5, 1.5, 1.6, 9):
        histogram.observe(seconds)
    found = {metric.name: metric.data for metric in otlp_metrics(registry, 1, 2)}
    (rows,) = found["rows"].data_points
    assert (rows.value, dict(rows.attributes or {})) == (7.0, {"topic": "trades"})
    assert getattr(found["rows"], "is_monotonic") is True  # noqa: B009
    assert [point.value for point in found["lag"].data_points] == [2.5]
    (delay,) = found["delay"].data_points
    assert (delay.count, delay.sum, list(delay.bucket_counts), list(delay.explicit_bounds)) == (
        4,
        pytest.approx(12.6),
        [1, 2, 1],
        [1.0, 2.0],
    )
