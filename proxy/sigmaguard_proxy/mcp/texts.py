"""Where the texts of an MCP message are and who wrote them. Knows the methods; judges nothing.

What travels to the model (results, resources, prompts, tool definitions, a server's own requests) is
input; what comes from it (call arguments, answers to sampling) is output. Methods nobody knows are
walked whole.
"""

import re
from collections.abc import Mapping
from typing import Any

from sigmaguard.model import Origin, Segment
from sigmaguard.wire.fields import LEAST_BINARY, Collector, may_hide
from sigmaguard.wire.locate import key_pointer
from sigmaguard.wire.opaque import is_binary
from sigmaguard.wire.pointer import escape

ALL: frozenset[str] = frozenset()  # no key is opaque: a model reads them all
# what a list's items are called in the result of its method
LISTS: Mapping[str, str] = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
GREETINGS = frozenset({"initialize", "server/discover"})
DOCUMENTS = frozenset({"resources/read", "prompts/get"})
ANSWERS = "inputResponses"
_UNREAD = frozenset({"_meta", "requestState"})  # the one is looked at by itself, the other is the server's own
_OWN_META = "io.modelcontextprotocol/"
_STRUCTURE = frozenset({"type", "format", "$schema", "$ref", "title", "name"})
_IDENTIFIER = re.compile(r"[\w$#/.:-]{1,64}", re.ASCII)


def shape_of(result: Any) -> str:
    """The method a result most likely answers, for answers whose request was not seen (a resumed stream)."""
    if not isinstance(result, dict):
        return ""
    for method, key in LISTS.items():
        if isinstance(result.get(key), list):
            return method
    if isinstance(result.get("contents"), list):
        return "resources/read"
    if isinstance(result.get("messages"), list):
        return "prompts/get"
    if isinstance(result.get("content"), list):
        return "tools/call"
    return "initialize" if "instructions" in result or "serverInfo" in result else ""


def texts_to_server(method: str, body: Mapping[str, Any], asked: str = "") -> list[Segment]:
    """What a client sends; `asked` is the server's request it answers, where it is an answer."""
    collector = Collector()
    if method:
        params = body.get("params")
        _meta(collector, params, Origin.TOOL_CALL)
        if isinstance(params, dict) and method not in GREETINGS:
            for key, value in params.items():
                if key == ANSWERS and isinstance(value, dict):
                    _answers(collector, value)
                elif key not in _UNREAD:
                    collector.walk(f"/params/{escape(key)}", value, Origin.TOOL_CALL, "assistant", "/params", ALL)
    else:
        origin = Origin.ASSISTANT if asked == "sampling/createMessage" else Origin.USER
        for key in ("result", "error"):
            _walk(collector, f"/{key}", body.get(key), origin)
    return collector.segments


def _answers(collector: Collector, answers: Mapping[str, Any]) -> None:
    """What a client answers to what a server asked back (MCP 2026-07-28): the same texts as answers of their own."""
    for key, answer in answers.items():
        is_sampled = isinstance(answer, dict) and "role" in answer
        _walk(collector, f"/params/{ANSWERS}/{escape(key)}", answer, Origin.ASSISTANT if is_sampled else Origin.USER)


def texts_to_client(message_method: str, body: Mapping[str, Any], asked: str = "") -> list[Segment]:
    """What a server sends: a request or notification of its own, or the answer to method `asked`."""
    collector = Collector()
    if message_method:
        origin = Origin.TOOL_RESULT if message_method.startswith("notifications/") else Origin.DOCUMENT
        _meta(collector, body.get("params"), origin)
        _walk(collector, "/params", body.get("params"), origin)
        return collector.segments
    if "error" in body:
        _walk(collector, "/error", body["error"], Origin.TOOL_RESULT)
        return collector.segments
    result = body.get("result")
    if asked in LISTS and isinstance(result, dict):
        _list(collector, LISTS[asked], result)
    elif asked in GREETINGS:
        _walk(collector, "/result", result, Origin.TOOL_DEFINITION)
    elif isinstance(result, dict):
        origin = Origin.DOCUMENT if asked in DOCUMENTS else Origin.TOOL_RESULT
        _meta(collector, result, origin, "/result")
        for key, value in result.items():
            if key not in ("_meta", "requestState", "resultType"):
                _walk(collector, f"/result/{escape(key)}", value, origin)
    return collector.segments


def _list(collector: Collector, key: str, result: Mapping[str, Any]) -> None:
    items = result.get(key)
    for at, item in enumerate(items if isinstance(items, list) else ()):
        path = f"/result/{key}/{at}"
        found = Collector()
        found.walk(path, item, Origin.TOOL_DEFINITION, "", path, ALL)
        # a schema's own words, one by one, say nothing, cost a look each, and mislead a classifier
        collector.segments += [one for one in found.segments if not _is_structure(one)]
    for other, value in result.items():
        if other not in (key, "nextCursor", "_meta", "cacheScope", "resultType"):
            _walk(collector, f"/result/{escape(other)}", value, Origin.TOOL_DEFINITION)


def _is_structure(segment: Segment) -> bool:
    """Whether a text is part of a definition's build: an identifier where only identifiers stand."""
    *_, above, last = segment.path.split("/")
    stands = last in _STRUCTURE or above == "required"
    return stands and _IDENTIFIER.fullmatch(segment.text) is not None


def _meta(collector: Collector, params: Any, origin: Origin, path: str = "/params") -> None:
    """What `_meta` carries beyond the protocol's own keys: it reaches the other side like everything else."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    for key, value in meta.items() if isinstance(meta, dict) else ():
        if key != "progressToken" and not key.startswith(_OWN_META):
            collector.walk(f"{path}/_meta/{escape(key)}", value, origin, "", path, ALL)


def _walk(collector: Collector, path: str, value: Any, origin: Origin, message: str = "") -> None:
    """Every string, except the bytes of pictures, sound and binary resources, whatever calls itself so."""
    if isinstance(value, dict):
        kind = value.get("mimeType")
        binary = value.get("type") in ("image", "audio") or (isinstance(kind, str) and not _is_text(kind))
        for key, inner in value.items():
            if binary and key in ("data", "blob") and _is_bytes(inner):
                continue
            if path == "/params" and key == "_meta":
                continue
            _walk(collector, f"{path}/{escape(key)}", inner, origin, message or path)
            if may_hide(key):  # after what stands below it, so that edits still find that
                collector.segments.append(Segment(key_pointer(f"{path}/{escape(key)}"), origin, key, "", message))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _walk(collector, f"{path}/{at}", inner, origin, message or path)
    elif isinstance(value, str) and value:
        collector.segments.append(Segment(path, origin, value, "", message))
    elif type(value) is int or type(value) is float:
        collector.walk(path, value, origin, "", message, ALL)


def _is_bytes(value: Any) -> bool:
    """Whether a value is base64 of bytes that nobody can read; too little of it is looked at like a text."""
    return isinstance(value, str) and len(value) >= LEAST_BINARY and is_binary(value)


def _is_text(mime_type: str) -> bool:
    return mime_type.startswith("text/") or any(part in mime_type for part in ("json", "xml", "yaml", "script", "csv"))
