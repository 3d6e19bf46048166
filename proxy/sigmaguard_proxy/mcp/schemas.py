"""Checks call arguments against a tool's own JSON Schema. Follows no reference off the document, never backtracks."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import jsonschema_rs

KEPT = 5_000  # compiled schemas; the one unused longest goes first


class _Validator(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


class Schemas:
    """The input schemas that servers have announced."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], _Validator | None] = OrderedDict()
        self._digests: dict[tuple[str, str], str] = {}

    def learn(self, server: str, tool: Mapping[str, Any], digest: str) -> None:
        """Takes a definition's input schema; one that is no schema, or leads elsewhere, is not checked against."""
        key = (server, str(tool.get("name", "")))
        if self._digests.get(key) == digest:
            return
        schema = tool.get("inputSchema")
        self._known[key] = _compile(schema) if isinstance(schema, dict) else None
        self._known.move_to_end(key)
        self._digests[key] = digest
        if len(self._known) > self._limit:
            oldest, _ = self._known.popitem(last=False)
            del self._digests[oldest]

    def knows(self, server: str, tool: str) -> bool:
        """Whether the tool's definition has been seen."""
        return (server, tool) in self._known

    def fits(self, server: str, tool: str, arguments: Any) -> bool:
        """Whether arguments fit the tool's schema; True where no schema is known."""
        validator = self._known.get((server, tool))
        if validator is None:
            return True
        try:
            return validator.is_valid({} if arguments is None else arguments)
        except (ValueError, TypeError, RecursionError):
            return False


def _compile(schema: Mapping[str, Any]) -> _Validator | None:
    try:
        # a regular expression from a server must not be able to backtrack, nor a reference to reach out
        return jsonschema_rs.validator_for(
            dict(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions(), ignore_unknown_formats=True
        )
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError):
        return None
