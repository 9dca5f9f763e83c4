"""What an error of an OpenAI-compatible server means for the request that met it.

One status code covers cases that want opposite reactions: 429 is a minute's pause, a request that will never fit, or an
empty account. Kinds, headers and texts: platform.openai.com/docs/guides/error-codes and .../rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from time import time

import openai


class Kind(StrEnum):
    """How to go on after an error."""

    QUOTA = "quota"  # the account is empty: nobody need ask for a while
    THROTTLED = "throttled"  # wait as long as the headers say
    TOO_LARGE = "too_large"  # ask for less at a time
    TRANSIENT = "transient"  # 5xx, timeout, cut connection, nonsense: wait and repeat
    REJECTED = "rejected"  # the content is at fault
    MISCONFIGURED = "misconfigured"  # key, model or parameter: no waiting helps
    UNKNOWN = "unknown"  # a 4xx that says neither: find out with a harmless request


@dataclass(frozen=True, slots=True)
class Fault:
    """A classified error; `wait` in seconds where the server named one; `billed` if it may have been paid for."""

    kind: Kind
    code: str
    wait: float | None = None
    billed: bool = False


class MisconfiguredError(RuntimeError):
    """The provider refuses the key, the model or a parameter; the message says what to change."""


_TOO_LARGE = re.compile(
    r"request too large|maximum context length|context window|must be reduced|too many tokens", re.I
)
_TOO_LARGE_CODES = {"context_length_exceeded", "string_above_max_length", "array_above_max_length", "request_too_large"}
_CONTENT_CODES = {"invalid_prompt", "content_filter", "content_policy_violation", "moderation_blocked"}
_SETUP_CODES = {
    "model_not_found",
    "unsupported_value",
    "unsupported_parameter",
    "unknown_parameter",
    "invalid_api_key",
    "DeploymentNotFound",
    "missing_required_parameter",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)", re.I)
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def classify(error: Exception) -> Fault:
    """Classify what the openai library, or the reading of an answer, raised."""
    if isinstance(error, openai.APITimeoutError):
        return Fault(Kind.TRANSIENT, "timeout", billed=True)
    if isinstance(error, openai.APIConnectionError):
        # A refused connection carried no request; a cut one may have.
        refused = "ConnectError" in type(error.__cause__).__name__
        return Fault(Kind.TRANSIENT, "connection refused" if refused else "connection cut", billed=not refused)
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error)
    return Fault(Kind.TRANSIENT, "malformed answer", billed=True)


def _classify_status(error: openai.APIStatusError) -> Fault:
    body = error.body if isinstance(error.body, dict) else {}
    code = str(body.get("code") or body.get("type") or error.status_code)
    text = str(body.get("message") or error.message)
    headers = error.response.headers
    status = error.status_code
    if status == 413 or code in _TOO_LARGE_CODES or (status in (400, 429) and _TOO_LARGE.search(text)):
        return Fault(Kind.TOO_LARGE, code)
    if status == 429:
        exhausted = code in ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
        if exhausted or body.get("type") == "insufficient_quota" or "exceeded your current quota" in text:
            return Fault(Kind.QUOTA, code, wait_of(headers, ""))
        return Fault(Kind.THROTTLED, code, wait_of(headers, text))
    if status >= 500 or status in (408, 409, 425):
        return Fault(Kind.TRANSIENT, str(status), wait_of(headers, ""))
    if code in _CONTENT_CODES:
        return Fault(Kind.REJECTED, code)
    if status in (401, 403, 404) or code in _SETUP_CODES:
        return Fault(Kind.MISCONFIGURED, code)
    return Fault(Kind.UNKNOWN, code)


def wait_of(headers: Mapping[str, str], text: str) -> float | None:
    """Seconds to wait, by `retry-after-ms`, `retry-after`, the text, or the resets of the limits that are used up."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value) * unit
        if value and name == "retry-after":
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time())
            except ValueError:
                pass
    if match := _TRY_AGAIN.search(text):
        return duration(match.group(1))
    waits = [
        duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}", "") == "0"
    ]
    return max((w for w in waits if w is not None), default=None)


def duration(text: str) -> float | None:
    """Seconds of a duration as these servers write it: "84ms", "1.146s", "6m0s"."""
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text):
        return None
    return sum(float(n) * _UNIT[unit] for n, unit in parts)
