"""CEL expressions over one tool call (the Common Expression Language, cel-spec). Knows values, no policy.

CEL has no loops beyond its bounded macros, no side effects and linear-time regular expressions (RE2), so a
rule can neither hang nor reach out.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from sigmaguard.errors import ConfigError


class _Program(Protocol):
    def evaluate(self, activation: Any, /) -> Any: ...


class EvaluationError(Exception):
    """An expression has no answer for these values: a field is missing or a type is wrong."""


class Expression:
    """One compiled expression. Raises ConfigError with the place where it is not CEL."""

    __slots__ = ("_program", "source")

    def __init__(self, source: str, where: str) -> None:
        self.source = source
        environment = celpy.Environment()
        try:
            self._program: _Program = environment.program(environment.compile(source))
        except CELParseError as error:
            raise ConfigError(f"{where}: `{source}` is not a CEL expression: {_first_line(error)}") from error

    def holds(self, values: Mapping[str, object]) -> bool:
        """Whether the expression is true of these values. Raises EvaluationError."""
        try:
            answer = self._program.evaluate({name: to_cel(value) for name, value in values.items()})
        except (CELEvalError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise EvaluationError(type(error).__name__) from error
        if not isinstance(answer, celtypes.BoolType):
            raise EvaluationError("the expression is not a condition")
        return bool(answer)


def to_cel(value: object) -> Any:
    """A JSON value as CEL sees it. Whole numbers beyond 64 bits become doubles."""
    match value:
        case None:
            return None
        case bool():
            return celtypes.BoolType(value)
        case int():
            return celtypes.IntType(value) if -(2**63) <= value < 2**63 else celtypes.DoubleType(float(value))
        case float():
            return celtypes.DoubleType(value)
        case str():
            return celtypes.StringType(value)
        case list() | tuple():
            return celtypes.ListType([to_cel(one) for one in value])
        case dict():
            return celtypes.MapType({celtypes.StringType(str(key)): to_cel(one) for key, one in value.items()})
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:120]
