"""The `Mcp-Param-*` headers of 2026-07-28, which mirror arguments so that proxies can route. Knows their coding.

A header may say nothing that the body does not: else what left in it would be seen by nobody. Whether one is missing
takes the tool's schema: `params.py`.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from multidict import CIMultiDict

from sigmaguard_proxy.mcp.message import Message

PREFIX = "mcp-param-"
_CODED = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")
_DECIMAL = re.compile(r"(-?[0-9]{1,400})(\.0+)?")
_SAFE = re.compile(r"[\x20-\x7e]*")


def mirrors_agree(headers: CIMultiDict[str], message: Message) -> bool:
    """Whether every mirrored value is among the call's arguments."""
    mirrors = [value for name, value in headers.items() if name.lower().startswith(PREFIX)]
    if not mirrors:
        return True
    values = list(_scalars(message.params.get("arguments")))
    said, numbers = {text_of(one) for one in values}, {whole_number(one) for one in values} - {None}
    for value in mirrors:
        plain = decode_value(value)
        if plain is None or (plain not in said and whole_number(plain) not in numbers):
            return False
    return True


def mirrored(headers: CIMultiDict[str], message: Message) -> CIMultiDict[str]:
    """The headers after the arguments were edited: a mirrored text that is no longer there says what is now.

    The headers' names tell no path, so each is matched by its argument's name.
    """
    if not any(name.lower().startswith(PREFIX) for name in headers):
        return headers
    arguments = message.params.get("arguments")
    said = {text_of(one) for one in _scalars(arguments)}
    result = CIMultiDict(headers)
    for name in list(headers):
        if name.lower().startswith(PREFIX) and decode_value(headers[name]) not in said:
            value = _named(arguments, name[len(PREFIX) :])
            if value is None:
                del result[name]
            else:
                result[name] = encode_value(value)
    return result


def _named(arguments: object, token: str) -> str | None:
    wanted = re.sub(r"[\W_]", "", token).casefold()
    if isinstance(arguments, dict):
        for key, value in arguments.items():
            if re.sub(r"[\W_]", "", str(key)).casefold() == wanted and isinstance(value, str):
                return value
        for value in arguments.values():
            found = _named(value, token)
            if found is not None:
                return found
    return None


def _scalars(value: object) -> Iterator[object]:
    """Every value that a header can say."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _scalars(inner)
    elif isinstance(value, str | int | float):
        yield value


def text_of(value: object) -> str | None:
    """A value as a header says it, None for what no header can."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def whole_number(value: object) -> int | None:
    """The whole number that a value is, or that a text writes: `42.0` and `42` are the same to the protocol."""
    if isinstance(value, str):
        match = _DECIMAL.fullmatch(value)
        return int(match[1]) if match else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def encode_value(value: str) -> str:
    """A value as a header carries it."""
    if _SAFE.fullmatch(value) and value == value.strip() and not _CODED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """What a header value means, None where it is not well-formed."""
    coded = _CODED.fullmatch(value)
    if coded is None:
        return value
    try:
        return base64.b64decode(coded[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
