"""`@guarded`: what goes into a function and what comes out of it pass the firewall. Knows signatures, no policy."""

import asyncio
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from sigmaguard_agents.guard.answer import Answer, AsyncGuard, Blocked, Direction, Guard

F = TypeVar("F", bound=Callable[..., Any])
OnBlock = Callable[[Answer], Any]


def guarded(
    guard: Guard | AsyncGuard,
    *,
    argument: str = "",
    origin: str = "",
    check_input: bool = True,
    check_output: bool = True,
    on_block: OnBlock | None = None,
) -> Callable[[F], F]:
    """Guards a function that takes a text and returns one, such as a call of a model. Works on `async def` too.

    `argument` names the guarded parameter (default: the first). A masked text goes in masked and is put back
    in what comes out. Where something is blocked, Blocked is raised, or `on_block(answer)` is returned instead.
    Raises TypeError at once where the function has no such parameter, or a blocking function an async guard.
    """

    def decorate(function: F) -> F:
        call = _Call(guard, function, argument, origin, check_input, check_output)
        if not inspect.iscoroutinefunction(function):
            return wraps(function)(lambda *args, **kwargs: _run(call, args, kwargs, on_block))  # type: ignore[return-value]

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            return await _run_async(call, args, kwargs, on_block)

        return run  # type: ignore[return-value]

    return decorate


class _Call:
    """A guarded function and how it is guarded."""

    def __init__(
        self,
        guard: Guard | AsyncGuard,
        function: Callable[..., Any],
        argument: str,
        origin: str,
        check_input: bool,
        check_output: bool,
    ) -> None:
        self.check: Any = guard.check
        self.function = function
        self.check_input, self.check_output = check_input, check_output
        self.origin = origin
        self._signature = inspect.signature(function)
        self.name = argument or next(iter(self._signature.parameters), "")
        self.is_async_guard = inspect.iscoroutinefunction(guard.check)
        name = function.__qualname__
        if self.name not in self._signature.parameters:
            raise TypeError(f"{name} has no parameter `{argument or 'to guard'}`")
        if self.is_async_guard and not inspect.iscoroutinefunction(function):
            raise TypeError(f"{name} is not async: guard it with a blocking Client or a LocalGuard")

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments by name, defaults filled in."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    async def ask(self, text: str, direction: Direction, origin: str, restore: str) -> Answer:
        """A verdict without holding up the loop."""
        options = {"direction": direction, "origin": origin, "restore": restore}
        if self.is_async_guard:
            answer: Answer = await self.check([text], **options)
            return answer
        answer = await asyncio.to_thread(self.check, [text], **options)
        return answer


def _run(call: _Call, args: tuple[Any, ...], kwargs: dict[str, Any], on_block: OnBlock | None) -> Any:
    bound, restore = call.bind(args, kwargs), ""
    try:
        if call.check_input:
            answer = call.check([bound.arguments[call.name]], direction="input", origin=call.origin)
            bound.arguments[call.name], restore = answer.raise_if_blocked().text, answer.restore
        result = call.function(*bound.args, **bound.kwargs)
        if not call.check_output or not isinstance(result, str):
            return result
        return call.check([result], direction="output", restore=restore).raise_if_blocked().text
    except Blocked as blocked:
        return _blocked(blocked, on_block)


async def _run_async(call: _Call, args: tuple[Any, ...], kwargs: dict[str, Any], on_block: OnBlock | None) -> Any:
    bound, restore = call.bind(args, kwargs), ""
    try:
        if call.check_input:
            answer = await call.ask(bound.arguments[call.name], "input", call.origin, "")
            bound.arguments[call.name], restore = answer.raise_if_blocked().text, answer.restore
        result = await call.function(*bound.args, **bound.kwargs)
        if not call.check_output or not isinstance(result, str):
            return result
        return (await call.ask(result, "output", "", restore)).raise_if_blocked().text
    except Blocked as blocked:
        return _blocked(blocked, on_block)


def _blocked(blocked: Blocked, on_block: OnBlock | None) -> Any:
    if on_block is None:
        raise blocked
    return on_block(blocked.answer)
