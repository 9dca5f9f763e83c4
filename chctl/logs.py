"""Structured logs on stderr: readable on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import logging
import sys

import structlog

from chctl.settings import Settings


class _Stderr:
    """Whatever sys.stderr is at the moment: loggers live longer than a stream that a runner puts in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(s: Settings, service: str = "chctl") -> None:
    """Set structlog up once for this process; data stays on stdout.

    Where CHCTL_OTLP_ENDPOINT is set, metrics, traces and logs of the process are sent there too, as `service`.
    """
    console = s.log_format == "console" or (s.log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[s.log_level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    if s.otlp_endpoint:
        from chctl import telemetry  # half a second of imports that only its users pay for

        telemetry.start(s, service)
