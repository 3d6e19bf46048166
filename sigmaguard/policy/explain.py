"""Why plain values do not fit a type, in the reader's words. Knows types and values, reads no file.

msgspec says `$.detectors[...].action` where a mapping's key is meant; here the values are walked once more,
which only an error pays for, to name the key, the choices and the bounds.
"""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
_SHOWN = 40  # characters of a wrong choice that are worth repeating


def explain(raw: object, kind: Any, fallback: str, *, strict: bool = True) -> str:
    """What is wrong with the innermost value that does not fit, and where; `fallback` where none is found."""
    at, value, wanted = _innermost(raw, kind, "", strict)
    try:
        msgspec.convert(value, wanted, strict=strict)
    except msgspec.ValidationError as error:
        return _said(value, wanted, at.lstrip("."), str(error).partition(" - at `")[0])
    return fallback


def _innermost(raw: object, kind: Any, at: str, strict: bool) -> tuple[str, object, Any]:
    for step, value, inner in _parts(raw, kind):
        try:
            msgspec.convert(value, inner, strict=strict)
        except msgspec.ValidationError:
            return _innermost(value, inner, at + step, strict)
    return at, raw, kind


def _parts(raw: object, kind: Any) -> Iterator[tuple[str, object, Any]]:
    """Every value inside another, how it is reached, and what it should be."""
    for member in _members(kind):
        plain = get_origin(member) or member
        if isinstance(raw, Mapping) and _is_struct(plain):
            for field in msgspec.structs.fields(plain):
                if field.encode_name in raw:
                    yield f".{field.encode_name}", raw[field.encode_name], field.type
        elif isinstance(raw, Mapping) and plain is dict:
            for key, value in raw.items():
                yield f".{key}", value, get_args(member)[1]
        elif isinstance(raw, Sequence) and not isinstance(raw, str) and plain in (tuple, list):
            for number, value in enumerate(raw):
                yield f"[{number}]", value, get_args(member)[0]


def _members(kind: Any) -> list[Any]:
    """The types a value may have, without their bounds and without None."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [one for member in get_args(kind) if member is not type(None) for one in _members(member)]
    return [kind]


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _said(value: object, wanted: Any, at: str, message: str) -> str:
    subject = f"`{at}`" if at else "the top"
    if isinstance(value, Mapping):
        names = [name for one in _members(wanted) if _is_struct(one) for name in one.__struct_fields__]
        unknown = [key for key in value if key not in names]
        if names and unknown:
            return f"unknown field `{unknown[0]}`{f' at {at}' if at else ''}{_instead(str(unknown[0]), names)}"
    elif choices := _choices(wanted):
        shown = str(value).lower() if isinstance(value, bool) else str(value)[:_SHOWN]
        said = f"`{shown}` is not one of {', '.join(choices)}{f' at `{at}`' if at else ''}"
        if isinstance(value, bool):  # YAML 1.1: an unquoted on, off, yes or no is no text
            return f'{said}; write a word such as "off" in quotes'
        near = difflib.get_close_matches(str(value), choices, n=1)
        return said + (f"; did you mean `{near[0]}`?" if near else "")
    elif ("` >" in message or "` <" in message) and (bounds := _bounds(wanted)):
        return f"{subject} must be {bounds}, not {value}"
    said = _in_words(message, subject)
    return f"{said}; put the word in quotes" if isinstance(value, bool) and "be text" in said else said


def _instead(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; remove it: there are {', '.join(names)}"


def _choices(wanted: Any) -> list[str]:
    for one in _members(wanted):
        if get_origin(one) is Literal:
            return [str(choice) for choice in get_args(one)]
        if isinstance(one, type) and issubclass(one, Enum):
            return [str(choice.value) for choice in one]
    return []


def _bounds(wanted: Any) -> str:
    """The bounds of a number, in words."""
    for one in (wanted, *get_args(wanted)):
        if get_origin(one) is Annotated and isinstance(meta := one.__metadata__[0], msgspec.Meta):
            words = (("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le), ("less than", meta.lt))
            return " and ".join(f"{word} {_plain(bound)}" for word, bound in words if bound is not None)
    return ""


def _plain(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _in_words(message: str, subject: str) -> str:
    """msgspec's `Expected `object`, got `array`` without the words of JSON."""
    wanted, got, given = message.partition(", got ")
    if not got or not wanted.startswith("Expected "):
        return f"{message[:1].lower()}{message[1:]} at {subject}"
    names = " or ".join(_WORDS.get(one, one) for one in wanted.removeprefix("Expected ").strip("`").split(" | "))
    return f"{subject} must be {names}, not {_WORDS.get(given.strip('`'), given)}"
