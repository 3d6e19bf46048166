"""Every string of a request, answer or event, generated from the official SDKs' own types."""

import typing
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union

import pydantic
import typing_extensions

_STRINGS = (str, object, Any)
_DEPTH = 12


class Cell(NamedTuple):
    """One string: its label (`messages[user].content[text].text`), its JSON pointer, how to build a body around it."""

    label: str
    pointer: str
    build: Callable[[str], Any]


def cells(of: Any) -> list[Cell]:
    """Every string of a type; of two with the same label only the first."""
    found: dict[str, Cell] = {}
    for label, pointer, build in _cells(of, ()):
        found.setdefault(label, Cell(label.lstrip("."), pointer, build))
    return list(found.values())


def _cells(of: Any, above: tuple[Any, ...]) -> Iterator[tuple[str, str, Callable[[str], Any]]]:
    of = _bare(of)
    origin, inner = typing.get_origin(of), typing.get_args(of)
    if of in (bool, int, float, NoneType, bytes) or origin is Literal or len(above) > _DEPTH:
        return
    if of in _STRINGS:
        yield "", "", lambda text: text
    elif origin in (Union, UnionType):
        for one in inner:
            yield from _cells(one, above)
    elif origin is dict or (isinstance(origin, type) and issubclass(origin, typing.Mapping)):  # type: ignore[arg-type]
        for label, pointer, build in _cells(inner[1], above):
            yield f"{{}}{label}", f"/any{pointer}", lambda text, build=build: {"any": build(text)}
    elif isinstance(origin, type) and issubclass(origin, typing.Iterable):  # type: ignore[arg-type]
        for label, pointer, build in _cells(inner[0], above):
            yield f"[]{label}", f"/0{pointer}", lambda text, build=build: [build(text)]
    elif isinstance(of, type) and of not in above:
        yield from _fields(of, above)


def _bare(of: Any) -> Any:
    while typing.get_origin(of) in (Annotated, typing.Required, typing.NotRequired, typing.ClassVar):
        of = typing.get_args(of)[0]
    if isinstance(of, typing_extensions.TypeAliasType):
        return _bare(of.__value__)
    return of


def _fields(of: type, above: tuple[Any, ...]) -> Iterator[tuple[str, str, Callable[[str], Any]]]:
    fields = _fields_of(of)
    base = {name: _literal(kind) for name, kind in fields.items() if _literal(kind) is not None}
    mark = next((str(base[name]) for name in ("type", "role") if name in base), "")
    for name, kind in fields.items():
        for label, pointer, build in _cells(kind, (*above, of)):
            yield (
                f"{f'<{mark}>' if mark else ''}.{name}{label}",
                f"/{name}{pointer}",
                lambda text, build=build, name=name: {**base, name: build(text)},
            )


def _fields_of(of: type) -> dict[str, Any]:
    if issubclass(of, pydantic.BaseModel):
        return {field.alias or name: field.annotation for name, field in of.model_fields.items()}
    if typing_extensions.is_typeddict(of):
        return typing.get_type_hints(of, include_extras=True)
    return {}


def _literal(kind: Any) -> Any:
    """The first value of an enum; None where a type is none."""
    kind = _bare(kind)
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)[0]
    if typing.get_origin(kind) in (Union, UnionType):
        return next((value for value in map(_literal, typing.get_args(kind)) if value is not None), None)
    return None
