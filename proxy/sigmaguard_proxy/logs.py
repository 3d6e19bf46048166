"""Structured logs: one JSON object a line, ECS field names, never any content.

ECS: Elastic Common Schema 8. Events are named in the past tense (`exchange_recorded`).
"""

import sys
from datetime import UTC, datetime
from typing import TextIO

import orjson

Value = str | int | float | bool | None


class Log:
    """Writes events of one service to a stream."""

    def __init__(self, service: str, stream: TextIO | None = None) -> None:
        self._service = service
        self._stream = stream or sys.stderr

    def info(self, event: str, **fields: Value) -> None:
        """Something happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        """Something needs looking at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        """Something failed."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Value]) -> None:
        line = {
            "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "log.level": level,
            "event.action": event,
            "service.name": self._service,
            **{f"sigmaguard.{name}": value for name, value in fields.items()},
        }
        try:
            self._stream.write(orjson.dumps(line).decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # a full disk or a closed pipe must not stop traffic; the audit log has its own way
