"""Which arguments a tool wants mirrored in `Mcp-Param-*` headers, and whether a call does. Knows schemas, no transport.

Sources: MCP 2026-07-28, "Streamable HTTP", custom headers (SEP-2243): the `x-mcp-header` annotation of an
input schema's property. A schema with an annotation where none may stand asks for nothing, as clients have
to drop such a tool.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from multidict import CIMultiDict

from sigmaguard_proxy.mcp.headers import decode_value, text_of, whole_number

KEPT = 5_000  # tools of one program
_HEADER = "Mcp-Param-"
_ANNOTATION = "x-mcp-header"
_TYPES = ("string", "integer", "boolean")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
# Keywords of JSON Schema 2020-12 whose values are schemas; what is data (`default`, `enum`) is not looked into
_ONE = frozenset(
    {"items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties"}
    | {"not", "if", "then", "else", "contentSchema"}
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})

_Path = tuple[str, ...]


class Param(NamedTuple):
    """A property by the names that lead to it, the header that mirrors it, and whether numbers are compared."""

    path: _Path
    header: str
    is_integer: bool


def params_of(schema: object) -> tuple[Param, ...]:
    """What a tool's input schema wants mirrored; nothing where an annotation of it is not valid."""
    found: dict[str, Param] = {}
    for path, part in _schemas(schema):
        if _ANNOTATION not in part:
            continue
        token, kind = part[_ANNOTATION], part.get("type")
        is_valid = bool(path) and isinstance(token, str) and _TOKEN.fullmatch(token) and kind in _TYPES
        if not is_valid or path is None or token.lower() in found:
            return ()
        found[token.lower()] = Param(path, _HEADER + token, kind == "integer")
    return tuple(found.values())


def _schemas(root: object) -> Iterator[tuple[_Path | None, Mapping[str, Any]]]:
    """Every schema within one, with the properties that lead there; None where something else does, too."""
    stack: list[tuple[_Path | None, object]] = [((), root)]
    while stack:
        path, part = stack.pop()
        if not isinstance(part, dict):
            continue
        yield path, part
        for keyword, value in part.items():
            if keyword == "properties" and isinstance(value, dict):
                stack += [(None if path is None else (*path, name), one) for name, one in value.items()]
            elif keyword in _ONE:
                stack.append((None, value))
            elif keyword in _LIST and isinstance(value, list):
                stack += [(None, one) for one in value]
            elif keyword in _MAP and isinstance(value, dict):
                stack += [(None, one) for one in value.values()]


def disagreement(params: Iterable[Param], arguments: Mapping[str, Any], headers: CIMultiDict[str]) -> str:
    """What is wrong with a call's headers, without any value; empty where header and argument agree."""
    for one in params:
        sent = headers.getall(one.header, [])
        value = _value(arguments, one.path)
        if len(sent) > 1:
            return f"{one.header} is sent more than once"
        if text_of(value) is None:
            if sent:
                return f"{one.header} is sent, but there is no argument `{'.'.join(one.path)}` that it mirrors"
        elif not sent:
            return f"{one.header} is missing: it mirrors the argument `{'.'.join(one.path)}`"
        elif not _agree(decode_value(sent[0]), value, is_integer=one.is_integer):
            return f"{one.header} does not say what the argument `{'.'.join(one.path)}` does"
    return ""


def _value(arguments: object, path: _Path) -> object:
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(name)
    return arguments


def _agree(header: str | None, value: object, *, is_integer: bool) -> bool:
    """Whether a header says a value."""
    if header == text_of(value):
        return True
    number = whole_number(header) if is_integer and not isinstance(value, str) else None
    return number is not None and number == whole_number(value)


class ToolParams:
    """What one program's tools want mirrored, as its lists told. Bounded; the tool told longest ago goes first."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[Param, ...]] = OrderedDict()
        self._asked = 0.0

    def learn(self, result: object) -> None:
        """Takes one page of a `tools/list`."""
        tools = result.get("tools") if isinstance(result, dict) else None
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
                self._known[name] = params_of(tool.get("inputSchema"))
                self._known.move_to_end(name)
                if len(self._known) > self._limit:
                    self._known.popitem(last=False)

    def forget(self) -> None:
        """The program's tools are others now."""
        self._known.clear()
        self._asked = 0.0

    def note_asked(self) -> None:
        """The program was asked for its whole list just now, whatever it said."""
        self._asked = time.monotonic()

    def is_old(self, age_s: float) -> bool:
        """Whether it is worth asking: the program was not asked within so many seconds."""
        return not self._asked or time.monotonic() - self._asked > age_s

    def get(self, tool: str) -> tuple[Param, ...] | None:
        """What a tool wants mirrored, None where no list has told."""
        return self._known.get(tool)
