"""Which of many patterns can be in a text, told in one pass over its bytes. Knows Hyperscan, no rule and no meaning.

Hyperscan looks for hundreds of outlines at once in about a microsecond a kilobyte, but takes up to seconds to
compile them. So nothing is compiled before a process has looked at `EAGER` texts or asks for it (`compile_all`),
and then in a thread of its own, which needs no interpreter lock. Until then, and where there is no Hyperscan, the
answer is None: nobody knows, look yourself. What is found is the same either way.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sigmaguard.outline import FOLDING, Outline

IS_THERE = find_spec("hyperscan") is not None  # not every platform has a wheel
if TYPE_CHECKING or IS_THERE:
    import hyperscan

EAGER = 64  # texts after which compiling pays
LONGEST = 8_192  # code points of a text; in one made for it Hyperscan's time grows with the square: 0.3 ms here
_DOTTED, _DOTLESS, _LONG_S, _KELVIN = map(chr, FOLDING)
_compiler = ThreadPoolExecutor(1, "prefilter")
_made: "WeakSet[Prefilter]" = WeakSet()


class Prefilter:
    """Looks for outlines; where one says nothing, its pattern can be in any text. Threads may share it."""

    def __init__(self, outlines: Sequence[Outline]) -> None:
        self._outlines = tuple(outlines)
        self._looks_for_any = any(one.said for one in outlines)
        self._always = [at for at, one in enumerate(outlines) if not one.said]
        self._database: hyperscan.Database | None = None
        self._compiled: Future[None] | None = None
        self._looks = 0
        _made.add(self)
        self._own = threading.local()  # what Hyperscan writes into while it looks, without the interpreter's lock

    def seen(self, text: str) -> list[int] | None:
        """Numbers of the outlines whose patterns can be in a text, in no order; None where nobody knows."""
        database = self._database
        if not self._looks_for_any:
            return self._always.copy()
        if database is None:
            self._looks += 1
            if self._looks == EAGER:
                self.compile_soon()
            return None
        if len(text) > LONGEST or (not text.isascii() and _folds(text)):
            return None
        found = self._always.copy()
        try:
            scratch = self._own.scratch
        except AttributeError:
            scratch = self._own.scratch = hyperscan.Scratch(database)
        database.scan(text.encode("utf-8", "surrogatepass"), _note, 0, found, scratch)
        return found

    def compile_now(self) -> None:
        """Compiles, and returns when that is done."""
        compiled = self.compile_soon()
        if compiled is not None:
            compiled.result()

    def compile_soon(self) -> "Future[None] | None":
        """Compiles in a thread of its own; None where there is nothing to compile with."""
        if IS_THERE and self._looks_for_any and self._compiled is None:
            self._compiled = _compiler.submit(self._build)
        return self._compiled

    def _build(self) -> None:
        said = [(at, one) for at, one in enumerate(self._outlines) if one.said]
        try:
            database = _database(said)
        except hyperscan.error:  # one of them asks for too much: it is not looked for, so it can be anywhere
            said = [one for one in said if _can_compile(one)]
            known = {at for at, _ in said}
            self._always = [at for at in range(len(self._outlines)) if at not in known]
            if not said:
                self._looks_for_any = False
                return
            database = _database(said)
        self._database = database


def _database(said: Sequence[tuple[int, Outline]]) -> "hyperscan.Database":
    """Raises hyperscan.error where one cannot be compiled."""
    database = hyperscan.Database()
    once = hyperscan.HS_FLAG_SINGLEMATCH
    database.compile(
        expressions=[one.said.encode("latin-1") for _, one in said],
        ids=[at for at, _ in said],
        flags=[once | hyperscan.HS_FLAG_CASELESS if one.ignores_case else once for _, one in said],
    )
    return database


def _can_compile(one: tuple[int, Outline]) -> bool:
    try:
        _database([one])
    except hyperscan.error:
        return False
    return True


def _folds(text: str) -> bool:
    """Whether some letters beyond ASCII count as letters of ASCII where case does not count."""
    return _DOTTED in text or _DOTLESS in text or _LONG_S in text or _KELVIN in text


def _note(number: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    """Called by Hyperscan for every outline it sees; named, since it holds no reference to its callback."""
    found.append(number)


def compile_all(*, wait: bool = True) -> None:
    """Compiles every prefilter made so far, about four seconds of one core; `wait` makes it return when it is done."""
    for one in list(_made):
        one.compile_now() if wait else one.compile_soon()


@lru_cache(256)
def prefilter(outlines: tuple[Outline, ...]) -> Prefilter:
    """The prefilter of these outlines, compiled once for however many policies have them."""
    return Prefilter(outlines)
