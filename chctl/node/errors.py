"""ClickHouse's errors as its HTTP interface words them."""

from __future__ import annotations

import re

#: HTTP status of an error code, as `exceptionCodeToHTTPStatus` of ClickHouse's src/Server/HTTP has it; others are 500.
_STATUS = {
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 72, 376, 675, 676), 400),  # CANNOT_PARSE_*
    **dict.fromkeys((36, 42, 53, 62, 117, 167, 168, 321, 427), 400),  # bad arguments, types, syntax, data, AST, regexp
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115, 336, 377), 404),  # UNKNOWN_*
    **dict.fromkeys((192, 193, 516, 497), 403),  # user, password, access
    48: 501,  # NOT_IMPLEMENTED
    159: 408,  # TIMEOUT_EXCEEDED
    194: 401,  # REQUIRED_PASSWORD
    209: 503,  # SOCKET_TIMEOUT
    223: 413,  # QUERY_IS_TOO_LARGE
    439: 503,  # CANNOT_SCHEDULE_TASK
}
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_VERSION = re.compile(r"( \([A-Z0-9_]+\))? \(version [^)]*\)\.?(?= \([A-Z0-9_]+\))")


class ClickHouseError(Exception):
    """An error with ClickHouse's code, in its text: `Code: 60. DB::Exception: ... (UNKNOWN_TABLE) (version ...)`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text

    @property
    def status(self) -> int:
        """The HTTP status ClickHouse answers this code with."""
        return _STATUS.get(self.code, 500)

    @classmethod
    def of(cls, code: int, name: str, message: str, version: str) -> ClickHouseError:
        """An error raised by the interface itself."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name}) (version {version} (official build))\n")

    @classmethod
    def from_engine(cls, error: Exception, version: str, clause: str = "") -> ClickHouseError:
        """The engine's error without the traces of embedding.

        chDB nests the text of an error met while reading a file into a second one, and a syntax error quotes the clause
        that this interface added: both go.
        """
        text = str(error)
        codes = list(_CODE.finditer(text))
        if not codes:
            return cls.of(1002, "UNKNOWN_EXCEPTION", text, version)
        text = text[codes[0].start() :]
        text = _CODE.sub("", text[len(codes[0].group()) :]) if len(codes) > 1 else text[len(codes[0].group()) :]
        text = _VERSION.sub("", text)
        text = re.sub(r": \(in file/uri /dev/fd/\d+\)|: data for INSERT was parsed from file", "", text)
        if clause:
            text = text.replace(f" {clause} ", " ").replace(clause, "")
        code = int(codes[0].group(1))
        return cls(code, f"Code: {code}. DB::Exception: {text.rstrip()} (version {version} (official build))\n")
