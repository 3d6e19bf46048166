"""Where in a JSON document's bytes a value or key stands. Knows JSON's tokens, no protocol."""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from sigmaguard.wire.pointer import KEY, escape

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.S)
_LEAF = object()

Span = tuple[int, int]


def key_pointer(pointer: str) -> str:
    """The pointer of the key that `pointer` ends in."""
    return pointer + KEY


def locate(raw: bytes, pointers: Iterable[str]) -> dict[str, Span]:
    """Byte spans of the strings, keys and scalars at these pointers, quotes included; valid JSON only.

    Exact, whatever escapes the document is written with. Linear in its size; a pointer that leads to
    nothing, or to an object or array, is missing from the answer.
    """
    trie = _trie(pointers)
    found: dict[str, Span] = {}
    above: list[tuple[Any, bool, int]] = []  # what to go back to: node, whether an object, index in an array
    node: Any = None
    is_object, is_key, index = False, False, 0
    value: Any = trie  # the node of the value that comes next
    for match in _TOKEN.finditer(raw):
        start, end = match.span()
        first = raw[start]
        if first in b"{[":
            above.append((node, is_object, index))
            node, is_object, index = value, first == 0x7B, 0
            is_key = is_object
            value = None if is_object or node is None else node.get("0")
        elif first in b"}]":
            node, is_object, index = above.pop()
            is_key = False
        elif first == 0x2C:  # a comma
            if is_object:
                is_key = True
            else:
                index += 1
                value = None if node is None else node.get(str(index))
        elif first == 0x3A:  # a colon
            continue
        elif is_key:
            is_key = False
            value = None
            if node is not None:
                key = escape(orjson.loads(raw[start:end]))
                value = node.get(key)
                leaf = node.get(key + KEY)
                if leaf is not None:
                    found[leaf[_LEAF]] = start, end
        elif value is not None and _LEAF in value:
            found[value[_LEAF]] = start, end
    return found


def _trie(pointers: Iterable[str]) -> dict[Any, Any]:
    """Pointers by their (still escaped) tokens; a node that ends one holds it under `_LEAF`."""
    trie: dict[Any, Any] = {}
    for pointer in pointers:
        node = trie
        for token in pointer.split("/")[1:]:
            node = node.setdefault(token, {})
        node[_LEAF] = pointer
    return trie
