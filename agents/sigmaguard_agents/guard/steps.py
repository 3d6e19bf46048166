"""Steps in somebody else's chain: LangChain's runnables, NeMo Guardrails' actions. Imports neither.

LangChain takes any callable for a step: `prompt | GuardAround(guard, model)`, or `GuardStep(guard)` where a chain
is only watched or masked for good. What passes through is a text, a prompt value, a message or a list of messages.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sigmaguard_agents.guard.answer import Answer, Direction, Guard

ORIGINS = {"human": "user", "system": "system", "ai": "assistant", "tool": "tool_result", "function": "tool_result"}


class GuardStep:
    """Checks whatever passes through; masked texts go on masked. Raises Blocked.

    `direction` is `input` before a model and `output` behind it.
    """

    def __init__(self, guard: Guard, direction: Direction = "input") -> None:
        self._guard = guard
        self._direction: Direction = direction

    def __call__(self, value: Any) -> Any:
        """The value as it should go on. Raises TypeError for a kind of value that holds no text we know."""
        return _checked(self._guard, self._direction, value, "")[0]


class GuardAround:
    """A model (anything with `invoke`, or a callable) between two checks: it never sees what is masked, and its
    answer has it back. Raises Blocked.
    """

    def __init__(self, guard: Guard, model: Any) -> None:
        self._guard = guard
        self._model: Callable[[Any], Any] = getattr(model, "invoke", model)

    def __call__(self, value: Any) -> Any:
        """What the model answers, guarded."""
        asked, restore = _checked(self._guard, "input", value, "")
        return _checked(self._guard, "output", self._model(asked), restore)[0]


def nemo_action(guard: Guard) -> Callable[..., Awaitable[bool]]:
    """An action for NeMo Guardrails: `rails.register_action(nemo_action(client), "sigmaguard")`.

    In a flow, `$allowed = execute sigmaguard` is True where the last bot message (in an output rail) or the
    user's message (in an input rail) may go on.
    """

    async def sigmaguard(context: dict[str, Any] | None = None) -> bool:
        said = context or {}
        bot, user = said.get("bot_message"), said.get("user_message")
        if bot:
            return not guard.check([str(bot)], direction="output").is_blocked
        return not user or not guard.check([str(user)], direction="input").is_blocked

    return sigmaguard


def _checked(guard: Guard, direction: Direction, value: Any, restore: str) -> tuple[Any, str]:
    """The value as it should go on, and the token that puts masked values back."""
    if isinstance(value, str):
        answer = guard.check([value], direction=direction, restore=restore).raise_if_blocked()
        return answer.text, answer.restore
    if hasattr(value, "to_messages"):
        return _messages(guard, direction, value.to_messages(), restore)
    if isinstance(value, Sequence) and all(map(_is_message, value)):
        return _messages(guard, direction, value, restore)
    if _is_message(value):
        changed, token = _messages(guard, direction, [value], restore)
        return changed[0], token
    raise TypeError(f"a {type(value).__name__} is neither text nor message")


def _messages(guard: Guard, direction: Direction, messages: Sequence[Any], restore: str) -> tuple[list[Any], str]:
    """All messages in one question, each text by who wrote it: one value has one placeholder in all of them."""
    places = [(at, part, text) for at, message in enumerate(messages) for part, text in _texts(message)]
    if not places:
        return list(messages), ""
    origin = [ORIGINS.get(messages[at].type, "user") if direction == "input" else "" for at, _, _ in places]
    texts = [text for _, _, text in places]
    answer: Answer = guard.check(texts, direction=direction, origin=origin, restore=restore).raise_if_blocked()
    result = list(messages)
    for (at, part, _), text in zip(places, answer.texts, strict=True):
        result[at] = _with_text(result[at], part, text)
    return result, answer.restore


def _texts(message: Any) -> list[tuple[int, str]]:
    """The texts of a message with their part's number, -1 where the content is one text."""
    content = message.content
    if isinstance(content, str):
        return [(-1, content)] if content else []
    found = [(at, part if isinstance(part, str) else part.get("text")) for at, part in enumerate(content)]
    return [(at, text) for at, text in found if isinstance(text, str) and text]


def _with_text(message: Any, part: int, text: str) -> Any:
    if part < 0:
        return message.model_copy(update={"content": text})
    parts = list(message.content)
    parts[part] = text if isinstance(parts[part], str) else {**parts[part], "text": text}
    return message.model_copy(update={"content": parts})


def _is_message(value: Any) -> bool:
    return hasattr(value, "content") and hasattr(value, "type") and hasattr(value, "model_copy")
