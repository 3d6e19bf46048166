"""What a guard answers, and the protocol of whoever answers. Knows values only."""

from collections.abc import Awaitable, Sequence
from typing import Any, Literal, Protocol

import msgspec

Direction = Literal["input", "output"]
Origins = str | Sequence[str]  # who wrote the texts: one name for all, or one a text; empty: user or assistant


class Found(msgspec.Struct, frozen=True):
    """One finding: which rule, in which text (`segment`), code points [start, end), how sure (0..1)."""

    rule: str
    detector: str = ""
    start: int = 0
    end: int = 0
    score: float = 0.0
    segment: int = 0
    path: str = ""
    entity: str = ""
    tags: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """A verdict. `texts` are the texts as they should go on; `restore` puts masked values back later.

    `action` is allow, mask or block; `intended` what enforce would have done. `exchange` names the record in
    the audit log, empty where the guard ran in-process.
    """

    action: str
    intended: str
    texts: tuple[str, ...]
    exchange: str = ""
    mode: str = "enforce"
    policy: str = ""
    rule: str = ""
    score: float = 0.0
    message: str = ""
    findings: tuple[Found, ...] = ()
    restore: str = ""

    @property
    def is_blocked(self) -> bool:
        """Whether the texts may not go on."""
        return self.action == "block"

    @property
    def text(self) -> str:
        """The first text as it should go on."""
        return self.texts[0]

    def raise_if_blocked(self) -> "Answer":
        """Itself. Raises Blocked."""
        if self.is_blocked:
            raise Blocked(self)
        return self


class Blocked(Exception):
    """A text was refused; `answer` says why. The message names rule and exchange, never the text."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message or f"blocked by rule `{answer.rule}`")
        self.answer = answer


class GuardError(Exception):
    """The guard could not be asked, or did not understand the question. Nothing was judged."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Guard(Protocol):
    """Whoever judges texts, blocking."""

    def check(
        self, texts: Sequence[str], *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over texts that belong to one exchange. Raises GuardError."""
        ...


class AsyncGuard(Protocol):
    """Whoever judges texts, for event loops."""

    def check(
        self, texts: Sequence[str], *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Awaitable[Answer]:
        """The verdict over texts that belong to one exchange. Raises GuardError."""
        ...


def question(texts: Sequence[str], direction: Direction, origin: Origins, restore: str) -> dict[str, Any]:
    """The body of a question."""
    pairs = zip(texts, origins(texts, origin), strict=True)
    segments = [{"text": text, **({"origin": said_by} if said_by else {})} for text, said_by in pairs]
    return {"direction": direction, "segments": segments, **({"restore": restore} if restore else {})}


def origins(texts: Sequence[str], origin: Origins) -> Sequence[str]:
    """One origin a text. Raises TypeError, ValueError."""
    if isinstance(texts, str):
        raise TypeError("give a list of texts; `check_text` takes one")
    if isinstance(origin, str):
        return [origin] * len(texts)
    if len(origin) != len(texts):
        raise ValueError(f"{len(texts)} texts have {len(origin)} origins")
    return origin


class _Reply(msgspec.Struct, frozen=True):
    action: str
    intended: str
    exchange: str = ""
    mode: str = "enforce"
    policy: str = ""
    rule: str = ""
    score: float = 0.0
    message: str = ""
    findings: tuple[Found, ...] = ()
    restore: str = ""
    segments: tuple[dict[str, Any], ...] = ()


def read_answer(status: int, body: bytes, texts: Sequence[str]) -> Answer:
    """An HTTP answer as an Answer. Raises GuardError."""
    if status != 200:
        try:
            said = msgspec.json.decode(body)["error"]["message"]
        except (msgspec.DecodeError, LookupError, TypeError):
            said = f"status {status}"
        raise GuardError(str(said), status)
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except msgspec.MsgspecError as error:
        raise GuardError(f"this is no Sigmaguard: {error}", status) from error
    values = {name: getattr(reply, name) for name in _Reply.__struct_fields__ if name != "segments"}
    changed = tuple(str(one["text"]) for one in reply.segments) if reply.segments else tuple(texts)
    return Answer(texts=changed, **values)
