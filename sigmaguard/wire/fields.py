"""Finding texts in a body by a table of fields. Every string is a segment unless a table declares it opaque.

A field nobody knows is walked whole, so a provider's new field is inspected before we hear of it.
"""

from collections.abc import Mapping
from typing import Any

from sigmaguard.model import Origin, Segment
from sigmaguard.wire.pointer import escape

# Identifiers, enums and binary payloads: never text that a model reads as text.
OPAQUE_KEYS = frozenset(
    {
        *("id", "object", "type", "role", "model", "status", "finish_reason", "stop_reason", "index", "created"),
        *("created_at", "system_fingerprint", "service_tier", "encoding_format", "tool_call_id", "tool_use_id"),
        *("call_id", "item_id", "response_id", "previous_response_id", "file_id", "container_id", "vector_store_id"),
        *("encrypted_content", "signature", "b64_json", "media_type", "mime_type", "detail", "strict", "effort"),
        *(
            "cache_control",
            "modalities",
            "voice",
            "quality",
            "size",
            "response_format_type",
            "service",
            "reasoning_effort",
        ),
        *("verbosity", "tool_choice_type", "truncation", "include", "betas", "speed", "encrypted_index"),
    }
)
# Opaque only when their object says so: base64 data beside a media type, audio data beside a format.
BINARY_KEYS = frozenset({"data", "file_data"})
LONG_KEY = 24  # an object key longer than any field name is text somebody hid there


class Collector:
    """Collects the segments of one body."""

    __slots__ = ("segments",)

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def text(self, path: str, text: object, origin: Origin, role: str = "", message: str = "") -> None:
        """One string; anything else is walked."""
        if type(text) is str:
            if text and not _is_binary(text):
                self.segments.append(Segment(path, origin, text, role, message))
        elif text is not None:
            self.walk(path, text, origin, role, message)

    def json_text(self, path: str, text: object, origin: Origin, role: str = "", message: str = "") -> None:
        """A string that is JSON source, such as tool-call arguments; an object is walked."""
        if type(text) is str:
            if text:
                self.segments.append(Segment(path, origin, text, role, message, True))
        elif text is not None:
            self.walk(path, text, origin, role, message, opaque=frozenset())

    def walk(
        self,
        path: str,
        value: Any,
        origin: Origin,
        role: str = "",
        message: str = "",
        opaque: frozenset[str] = OPAQUE_KEYS,
    ) -> None:
        """Every string below a value, except below opaque keys and where the data is binary."""
        kind = type(value)
        if kind is str:
            if value and not _is_binary(value):
                self.segments.append(Segment(path, origin, value, role, message))
        elif kind is dict:
            for key, inner in value.items():
                if key in opaque and type(inner) is not dict and type(inner) is not list:
                    continue
                if (
                    key in BINARY_KEYS
                    and opaque
                    and ("media_type" in value or "format" in value or "filename" in value)
                ):
                    continue
                if type(inner) in (str, dict, list):
                    self.walk(f"{path}/{escape(key)}", inner, origin, role, message, opaque)
                if len(key) > LONG_KEY and " " in key:
                    # a key cannot be edited in place; a finding in it can still block
                    self.segments.append(Segment(f"{path}/{escape(key)}#key", origin, key, role, message))
        elif kind is list:
            for at, inner in enumerate(value):
                if type(inner) in (str, dict, list):
                    self.walk(f"{path}/{at}", inner, origin, role, message, opaque)

    def rest(self, body: Mapping[str, Any], known: frozenset[str], origin: Origin = Origin.DOCUMENT) -> None:
        """Every top-level field that the codec's table does not name."""
        for key, value in body.items():
            if key not in known and type(value) in (str, dict, list):
                self.walk(f"/{escape(key)}", value, origin)


def _is_binary(text: str) -> bool:
    """Whether a string is an inline picture or sound rather than text."""
    return text.startswith("data:") and ";base64," in text[:128] and not text.startswith("data:text")
