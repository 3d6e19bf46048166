"""Where the texts of an HTTP call and its answer are, and how they are edited. Knows bodies, judges nothing."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.body import apply_edits, parse_body
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.opaque import number_text
from sigmaguard_proxy.egress.address import Address

FORM = "application/x-www-form-urlencoded"


class Body:
    """A body as texts: JSON, a form, any text, or bytes that hold none.

    Raises WireError where it is not the JSON it says it is. `is_opaque` bodies cannot be inspected.
    """

    def __init__(self, raw: bytes, content_type: str, origin: Origin) -> None:
        self.raw = raw
        self._origin = origin
        self._codec = "utf-8"
        kind = content_type.partition(";")[0].strip().lower()
        self.value: Any = None
        self.kind = "empty"
        if not raw.strip():
            return
        if kind.endswith(("json", "+json")) or (not kind and raw.lstrip()[:1] in (b"{", b"[")):
            self.kind, self.value = "json", parse_body(raw)
            return
        text = self._decoded(kind, content_type)
        if text is None:
            self.kind = "bytes"
        elif kind == FORM:
            self.kind, self.value = "form", [list(pair) for pair in parse_qsl(text, keep_blank_values=True)]
        else:
            self.kind, self.value = "text", text

    @property
    def is_opaque(self) -> bool:
        """Whether there is a body and nothing of it can be read."""
        return self.kind == "bytes"

    def _decoded(self, kind: str, content_type: str) -> str | None:
        """The text, whatever its type says: many servers send text as bytes. None where it is none."""
        if b"\x00" in self.raw[:4096]:
            return None
        try:
            return self.raw.decode()
        except UnicodeDecodeError:
            if not kind.startswith("text/") and "charset" not in content_type.lower():
                return None
        self._codec = "latin-1"  # every byte is a letter in it, so nothing is lost by decoding
        return self.raw.decode("latin-1")

    def segments(self) -> list[Segment]:
        """Every text of the body; paths begin with `/body`."""
        collector = Collector()
        if self.value is not None:
            collector.walk("/body", self.value, self._origin, "", "/body", frozenset())
        return collector.segments

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """The body with the edits applied."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            if edit.path.startswith("/body"):
                by_path.setdefault(edit.path, []).append(edit)
        if not by_path:
            return self.raw
        holder = {"body": self.value}
        # a key after everything below it, or what stands there would no longer be found
        for path, found in sorted(by_path.items(), key=lambda one: (-one[0].count("/"), one[0].endswith(pointer.KEY))):
            pointer.put(holder, path, apply_edits(_inspected(pointer.get(holder, path)), found))
        match self.kind:
            case "json":
                return orjson.dumps(holder["body"])
            case "form":
                return urlencode([tuple(pair) for pair in holder["body"]]).encode()
            case _:
                return str(holder["body"]).encode(self._codec, "replace")


def _inspected(value: object) -> str:
    """What stands in a body as it was inspected."""
    return number_text(value) if isinstance(value, int | float) else str(value)


def address_segments(address: Address) -> list[Segment]:
    """The texts an address carries: its path, and names and values of its query."""
    segments = [Segment("/path", Origin.TOOL_CALL, address.path, "assistant", "/url")] if address.path != "/" else []
    for at, (key, value) in enumerate(address.query):
        segments.append(Segment(f"/query/{at}/0", Origin.TOOL_CALL, key, "assistant", "/url"))
        if value:
            segments.append(Segment(f"/query/{at}/1", Origin.TOOL_CALL, value, "assistant", "/url"))
    return segments


def edited_address(address: Address, edits: Sequence[Edit]) -> Address:
    """An address with the edits applied."""
    holder: dict[str, Any] = {"path": address.path, "query": [list(pair) for pair in address.query]}
    for segment in address_segments(address):
        found = [edit for edit in edits if edit.path == segment.path]
        if found:
            pointer.put(holder, segment.path, apply_edits(segment.text, found))
    query = tuple((str(key), str(value)) for key, value in holder["query"])
    return Address(address.scheme, address.host, address.port, str(holder["path"]), query)
