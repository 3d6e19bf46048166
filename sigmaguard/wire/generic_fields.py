"""Whose texts stand in JSON of a protocol nobody told us: by plain names that providers share. Knows no endpoint.

What is not plainly somebody else's is the user's, which is judged most strictly.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire.fields import DEEPEST, OPAQUE_KEYS, OPAQUE_TREES, is_binary_url, is_opaque, may_hide
from sigmaguard.wire.locate import key_pointer
from sigmaguard.wire.opaque import is_long, is_model_name, number_text
from sigmaguard.wire.pointer import escape

_ORIGIN_OF_ROLE = {
    **dict.fromkeys(("system", "developer"), Origin.SYSTEM),
    "user": Origin.USER,
    **dict.fromkeys(("assistant", "model", "chatbot"), Origin.ASSISTANT),
    **dict.fromkeys(("tool", "function"), Origin.TOOL_RESULT),
}
# Keys, in lower case and without `_`, below which somebody else than the user speaks
_ORIGIN_OF_KEY = {
    **dict.fromkeys(("system", "systeminstruction", "systemprompt", "preamble", "instructions"), Origin.SYSTEM),
    **dict.fromkeys(("tools", "functions", "functiondeclarations"), Origin.TOOL_DEFINITION),
    **dict.fromkeys(("toolcalls", "functioncall", "tooluse"), Origin.TOOL_CALL),
    **dict.fromkeys(("toolresults", "toolresult", "tooloutputs", "functionresponse"), Origin.TOOL_RESULT),
    "documents": Origin.DOCUMENT,
}
_ENUMS = "id|type|reason|version|status|category|probability|severity"
_CAMEL = "|".join(word.capitalize() for word in _ENUMS.split("|"))
# `thread_id`, `finishReason`: identifiers and enums of providers whose tables we do not have
_NAMES_ENUM = re.compile(rf"(?:\A|.*_)(?:{_ENUMS})\Z|.*[a-z0-9](?:{_CAMEL})\Z")
_HARM = re.compile(r"HARM_CATEGORY_[A-Z_]{4,24}\Z")  # Gemini's; longer than an enum may be by its looks alone


class _Who(msgspec.Struct, frozen=True):
    """Who speaks at a place; `message` is the pointer of the message it belongs to."""

    origin: Origin
    role: str = ""
    message: str = ""


def request_texts(body: object) -> list[Segment]:
    """Every text of a request. Raises WireError where it is nested too deep."""
    return _Walk(is_request=True).all(body, Origin.USER)


def answer_texts(body: object) -> list[Segment]:
    """Every text of an answer or of an event, as the model's. Raises WireError where it is nested too deep."""
    return _Walk(is_request=False).all(body, Origin.ASSISTANT)


class _Walk:
    def __init__(self, *, is_request: bool) -> None:
        self._is_request = is_request
        self._segments: list[Segment] = []

    def all(self, body: object, origin: Origin) -> list[Segment]:
        self._any("", body, _Who(origin))
        return self._segments

    def _any(self, path: str, value: Any, who: _Who) -> None:
        if type(value) is str:
            if value and not is_binary_url(value):
                self._segments.append(Segment(path, who.origin, value, who.role, who.message))
        elif type(value) is int or type(value) is float:
            if is_long(value):
                self._segments.append(Segment(path, who.origin, number_text(value), who.role, who.message))
        elif type(value) is list or type(value) is dict:
            if path.count("/") > DEEPEST:
                raise WireError("too_deep", f"the body is nested deeper than {DEEPEST} levels")
            if type(value) is dict:
                self._object(path, value, who)
            else:
                for at, inner in enumerate(value):
                    self._any(f"{path}/{at}", inner, who)

    def _object(self, path: str, value: dict[str, Any], who: _Who) -> None:
        if self._is_request:
            who = _teller(path, value, who)
        for key, inner in value.items():
            at = f"{path}/{escape(key)}"
            if type(inner) is str:
                is_kept = is_opaque_here(key, inner, value)
            else:
                is_kept = not self._is_request and key in OPAQUE_TREES
            if not is_kept:
                self._any(at, inner, _under(key, at, who) if self._is_request else who)
            if key and may_hide(key):
                self._segments.append(Segment(key_pointer(at), who.origin, key, who.role, who.message))


def _teller(path: str, value: Mapping[str, Any], who: _Who) -> _Who:
    """Who an object's `role` says is speaking; whoever spoke around it where it says nothing known."""
    role = value.get("role")
    origin = _ORIGIN_OF_ROLE.get(role.lower()) if isinstance(role, str) else None
    return who if origin is None else _Who(origin, str(role).lower(), path)


def _under(key: str, path: str, who: _Who) -> _Who:
    origin = _ORIGIN_OF_KEY.get(key.lower().replace("_", ""))
    return who if origin is None else _Who(origin, who.role, path)


def is_opaque_here(key: str, text: str, beside: Mapping[str, Any]) -> bool:
    """Whether a string is an identifier, an enum or binary data, by its key and by its looks."""
    if key[:5].lower() == "model" and is_model_name(text):
        return True
    if key in OPAQUE_KEYS or _NAMES_ENUM.match(key) is None:
        return is_opaque(key, text, beside)
    return is_opaque("type", text, beside) or _HARM.match(text) is not None
