"""Metrics, traces and logs by OTLP over HTTP, which is how HyperDX and any OpenTelemetry collector take them.

Off unless CHCTL_OTLP_ENDPOINT is set. Metrics are what the Prometheus endpoint shows, sent as they stand, so that a
process is measured in one place only. Logs are the structlog events, traces the spans of chctl/tracing.py.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import CollectorRegistry

from chctl.settings import Settings

#: Seconds for one batch, retries included: a collector that is away must not hold up the end of a process.
TIMEOUT = 2.0

_SCOPE = InstrumentationScope("chctl")
_SEVERITY = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}


class Telemetry:
    """The three exporters of one process; `service` is what a collector shows it as."""

    def __init__(self, s: Settings, service: str) -> None:
        endpoint = s.otlp_endpoint.rstrip("/")
        key = s.otlp_api_key.get_secret_value()
        headers = {"authorization": key} if key else {}
        self._resource = Resource.create({"service.name": service, "service.namespace": "chctl"})
        self._tracers = TracerProvider(resource=self._resource)
        self._tracers.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers, timeout=TIMEOUT), schedule_delay_millis=500
            )
        )
        self._loggers = LoggerProvider(resource=self._resource)
        self._loggers.add_log_record_processor(
            BatchLogRecordProcessor(
                OTLPLogExporter(f"{endpoint}/v1/logs", headers=headers, timeout=TIMEOUT), schedule_delay_millis=500
            )
        )
        self._logger = self._loggers.get_logger("chctl")
        self._metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", headers=headers, timeout=TIMEOUT)
        self._stop = threading.Event()
        self._started = time.time_ns()
        self._thread = threading.Thread(target=self._report, args=(s.otlp_interval_s,), name="otlp", daemon=True)

    def start(self) -> Telemetry:
        """Send from now on: spans of this process, events of structlog, metrics every CHCTL_OTLP_INTERVAL_S."""
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # a batch that is lost, not each retry
        trace.set_tracer_provider(self._tracers)
        processors = structlog.get_config()["processors"]
        structlog.configure(processors=[*processors[:-1], self._on_event, processors[-1]])
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send what is left; a collector that is away costs a few seconds at most."""
        self._stop.set()
        self._thread.join(5)
        self._export_metrics()
        self._tracers.shutdown()
        self._loggers.shutdown()

    def _on_event(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level = str(event.get("level", "info"))
        attributes = {k: v if isinstance(v, str | int | float | bool) else str(v) for k, v in event.items()}
        self._logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=_SEVERITY.get(level, SeverityNumber.INFO),
                severity_text=level.upper(),
                body=str(attributes.pop("event", "")),
                attributes={k: v for k, v in attributes.items() if k not in ("level", "timestamp")},
            )
        )
        return event

    def _report(self, interval: float) -> None:
        while not self._stop.wait(interval):
            self._export_metrics()

    def _export_metrics(self) -> None:
        metrics = list(otlp_metrics(REGISTRY, self._started, time.time_ns()))
        scope = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url="")
        data = ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")
        self._metrics.export(MetricsData(resource_metrics=[data]))


def start(s: Settings, service: str) -> None:
    """Send from now on until the process ends, then what is left. Called by chctl.logs.configure."""
    atexit.register(Telemetry(s, service).start().stop)


def otlp_metrics(registry: CollectorRegistry, started: int, now: int) -> Iterator[Metric]:
    """Prometheus metrics as OTLP ones: counters as cumulative sums, histograms with their buckets, the rest as gauges.

    `started` and `now` in nanoseconds UTC. After the OpenTelemetry specification, "Prometheus and OpenMetrics
    Compatibility".
    """
    for family in registry.collect():
        data: Histogram | Sum | Gauge
        if family.type == "histogram":
            data = Histogram(list(_histograms(family, started, now)), AggregationTemporality.CUMULATIVE)
        elif family.type == "counter":
            totals = [_point(s, started, now) for s in family.samples if s.name.endswith("_total")]
            data = Sum(totals, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        else:
            data = Gauge([_point(s, started, now) for s in family.samples])
        if data.data_points:
            yield Metric(name=family.name, description=family.documentation, unit="", data=data)


def _point(sample: Any, started: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=dict(sample.labels), start_time_unix_nano=started, time_unix_nano=now, value=float(sample.value)
    )


def _histograms(family: Family, started: int, now: int) -> Iterator[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        one = series.setdefault(labels, {"buckets": [], "sum": 0.0, "count": 0})
        if sample.name.endswith("_bucket"):
            one["buckets"].append((float(sample.labels["le"]), int(sample.value)))
        elif sample.name.endswith("_sum"):
            one["sum"] = float(sample.value)
        elif sample.name.endswith("_count"):
            one["count"] = int(sample.value)
    for labels, one in series.items():
        bounds: Sequence[tuple[float, int]] = sorted(one["buckets"])
        below = [0, *(count for _, count in bounds)]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=started,
            time_unix_nano=now,
            count=one["count"],
            sum=one["sum"],
            bucket_counts=[upper - lower for lower, upper in itertools.pairwise(below)],
            explicit_bounds=[bound for bound, _ in bounds[:-1]],
            min=0.0,
            max=0.0,
        )
