"""Spans, and the trace of an alert that every process can name. chctl/telemetry.py sends them, if asked to."""

from __future__ import annotations

import hashlib

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags


def tracer() -> trace.Tracer:
    """The tracer of this process; its spans go nowhere unless telemetry was started."""
    return trace.get_tracer("chctl")


def trace_id(alert_id: str) -> str:
    """The trace of an alert, 32 hex digits: MD5 of its id, so that SQL and every process know it without being told."""
    return hashlib.md5(alert_id.encode(), usedforsecurity=False).hexdigest()


def alert_context(alert_id: str) -> trace.Context:
    """The context whose children belong to the trace of an alert."""
    digest = trace_id(alert_id)
    span = SpanContext(int(digest, 16), int(digest[:16], 16) or 1, is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(NonRecordingSpan(span))
