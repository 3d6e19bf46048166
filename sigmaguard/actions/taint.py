"""Which conversations untrusted content has entered, followed by content digests. Bounded; holds no text.

A client that sends its whole history shows the taint with every turn. One that trims it, or names only the
previous response, is followed by what the model said: those texts are rarely the same in two conversations.
What it cannot do: a conversation of which nothing but short user lines is sent again looks like a new one.
"""

from collections.abc import Iterable
from hashlib import sha256

from sigmaguard.actions.call import ToolCall, call_digest

LEAST_CHARS = 24  # a shorter answer ("Yes.", "Done!") is said in many conversations


class TaintMemory:
    """Digests of what belongs to tainted conversations, in two generations; scoped by subject."""

    def __init__(self, capacity: int = 50_000) -> None:
        self._half = max(1, capacity // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def mark_texts(self, scope: str, texts: Iterable[str]) -> None:
        """Remembers texts (a model's answers) of a tainted conversation."""
        for text in texts:
            if len(text) >= LEAST_CHARS:
                self._add(_key(scope, "text", text.encode("utf-8", "surrogatepass")))

    def mark_name(self, scope: str, name: str) -> None:
        """Remembers an identifier (a response id, a session) of a tainted conversation."""
        self._add(_key(scope, "name", name.encode("utf-8", "surrogatepass")))

    def mark_call(self, scope: str, call: ToolCall, *, tainted: bool = True) -> None:
        """Remembers a call that a model asked for, and whether its conversation was tainted."""
        self._add(_key(scope, "call" if tainted else "clean", call_digest(call)))

    def knows_text(self, scope: str, texts: Iterable[str]) -> bool:
        """Whether any of these texts belongs to a tainted conversation."""
        return any(
            self._has(_key(scope, "text", text.encode("utf-8", "surrogatepass")))
            for text in texts
            if len(text) >= LEAST_CHARS
        )

    def knows_name(self, scope: str, name: str) -> bool:
        """Whether an identifier belongs to a tainted conversation."""
        return self._has(_key(scope, "name", name.encode("utf-8", "surrogatepass")))

    def knows_call(self, scope: str, call: ToolCall) -> bool:
        """Whether a tainted conversation's model asked for this call."""
        return self._has(_key(scope, "call", call_digest(call)))

    def knows_clean_call(self, scope: str, call: ToolCall) -> bool:
        """Whether a conversation without taint asked for this call."""
        return self._has(_key(scope, "clean", call_digest(call)))

    def _has(self, key: bytes) -> bool:
        if key in self._young:
            return True
        if key in self._old:
            self._add(key)
            return True
        return False

    def _add(self, key: bytes) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, set()
        self._young.add(key)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


def _key(scope: str, kind: str, content: bytes) -> bytes:
    return sha256(f"{scope}\0{kind}\0".encode("utf-8", "surrogatepass") + content).digest()[:16]
