"""A step in somebody else's chain: LangChain's runnables, NeMo Guardrails' actions. Imports neither.

LangChain takes any callable for a step (`prompt | guard_in | model | guard_out`); what passes through is a
text, a prompt value, a message or a list of messages, and the same kind of thing comes out.
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
        if isinstance(value, str):
            return self._check([value], "")[0]
        if hasattr(value, "to_messages"):
            return self._messages(value.to_messages())
        if isinstance(value, Sequence) and all(map(_is_message, value)):
            return self._messages(value)
        if _is_message(value):
            return self._messages([value])[0]
        raise TypeError(f"a {type(value).__name__} is neither text nor message")

    def _messages(self, messages: Sequence[Any]) -> list[Any]:
        """Each message is judged by who wrote it; texts of one message together."""
        return [self._message(message) for message in messages]

    def _message(self, message: Any) -> Any:
        origin = ORIGINS.get(message.type, "user") if self._direction == "input" else ""
        content = message.content
        if isinstance(content, str):
            return message.model_copy(update={"content": self._check([content], origin)[0]}) if content else message
        at = [place for place, part in enumerate(content) if isinstance(part, str) or part.get("type") == "text"]
        texts = [part if isinstance(part, str) else str(part["text"]) for part in (content[place] for place in at)]
        if not texts:
            return message
        parts = list(content)
        for place, text in zip(at, self._check(texts, origin), strict=True):
            parts[place] = text if isinstance(parts[place], str) else {**parts[place], "text": text}
        return message.model_copy(update={"content": parts})

    def _check(self, texts: Sequence[str], origin: str) -> Sequence[str]:
        answer: Answer = self._guard.check(texts, direction=self._direction, origin=origin)
        return answer.raise_if_blocked().texts


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


def _is_message(value: Any) -> bool:
    return hasattr(value, "content") and hasattr(value, "type") and hasattr(value, "model_copy")
