"""Values back for what was masked, whole or streamed. Knows only the names it is given.

Tolerant of what models do to placeholders: other case, spaces or hyphens for the underscore, brackets
escaped for HTML, JSON, Markdown or URLs, or left away. Only what this exchange issued is restored; a
name that merely looks like one stays. Values that stand in for others (synthetic ones) are restored
where they stand as they were issued. Inside a URL nothing is restored: whoever made the model write it would
be sent the value.
"""

import json
import re
from collections.abc import Iterator, Mapping

from sigmaguard.taken import Taken
from sigmaguard.url_trace import Allows, UrlTrace

# <EMAIL_1>, &lt;EMAIL_1&gt;, \u003cEMAIL_1\u003e (at any depth of JSON), \<EMAIL_1\>, %3CEMAIL_1%3E
_OPENERS = ("<", "&lt;", "&#60;", "&#x3c;", "%3c", "\uff1c")
_CLOSERS = (">", "&gt;", "&#62;", "&#x3e;", "%3e", "\uff1e")
_SLASHES = r"\\{0,8}"
_OPEN = rf"(?:{_SLASHES}<|&lt;|&#60;|&#x3c;|\\{{1,8}}u003c|%3c|\uff1c)"
_CLOSE = rf"(?:{_SLASHES}>|&gt;|&#62;|&#x3e;|\\{{1,8}}u003e|%3e|\uff1e)"
_BODY = r"[a-z](?:[a-z0-9]|\\?[_ -])*\d"
_BRACKETED = re.compile(rf"{_OPEN} ?({_BODY}) ?{_CLOSE}", re.IGNORECASE)
# without brackets it must be as issued, and stand alone: `email_1` is a variable
_BARE = re.compile(r"(?<![A-Za-z0-9_])([A-Z](?:[A-Z0-9]|\\?_)*\d)(?![A-Za-z0-9_])")
_GAP = re.compile(r"\\?[_ -]")
_ESCAPED_OPEN = re.compile(r"\\{0,8}(?:u(?:0(?:0(?:3c?)?)?)?)?\Z", re.IGNORECASE)
_ESCAPED_CLOSE = re.compile(r" ?\\{0,8}(?:u(?:0(?:0(?:3e?)?)?)?)?\Z", re.IGNORECASE)
_NESTED = re.compile(r'"\s*[{\[]')
_FRAME = 32  # code points of both brackets at their longest, in JSON within JSON


class Issued:
    """What an exchange put in the place of values: placeholders by their normal form, stand-ins as they are."""

    __slots__ = ("_heads", "_literals", "names", "reach", "stand_ins")

    def __init__(self, values: Mapping[str, str], stand_ins: Mapping[str, str] | None = None) -> None:
        self.names = {_normal(name[1:-1]): value for name, value in values.items()}
        self.stand_ins = dict(stand_ins or {})
        self._heads = {name[:size] for name in self.names for size in range(len(name) + 1)}
        longest = max((len(one) for one in (*self.names, *self.stand_ins)), default=0)
        # every gap may be escaped
        self.reach = 2 * longest + _FRAME
        ordered = sorted(self.stand_ins, key=len, reverse=True)
        self._literals = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __bool__(self) -> bool:
        return bool(self.names or self.stand_ins)

    def found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where which value belongs: spans in order, not overlapping."""
        spans = [(_begin(match), match.end(), value) for match, value in self._placeholders(text)]
        if self._literals:
            spans += [(*match.span(), self.stand_ins[match[0]]) for match in self._literals.finditer(text)]
            spans.sort()
        at = 0
        for start, end, value in spans:
            if start >= at:
                yield start, end, value
                at = end

    def _placeholders(self, text: str) -> Iterator[tuple[re.Match[str], str]]:
        if not self.names or ("_" not in text and " " not in text and "-" not in text):
            return
        found: list[tuple[re.Match[str], str]] = []
        taken = Taken()
        for match in _BRACKETED.finditer(text):
            value = self.names.get(_normal(match[1]))
            if value is not None and taken.take(*match.span()):
                found.append((match, value))
        if "_" in text:
            for match in _BARE.finditer(text):
                value = self.names.get(_normal(match[1]))
                if value is not None and taken.take(*match.span()):
                    found.append((match, value))
            found.sort(key=lambda one: one[0].start())
        yield from found

    def hold(self, text: str, low: int = 0) -> int:
        """From where, not before `low`, the text could still grow into something issued: its length if nowhere."""
        size = len(text)
        for at in range(max(low, size - self.reach), size):
            if self._could_grow(text, at):
                return at
        return size

    def _could_grow(self, text: str, at: int) -> bool:
        one = text[at]
        if self.stand_ins and any(name.startswith(text[at:]) for name in self.stand_ins):
            return True
        if not self.names:
            return False
        if one in "<&%\uff1c\\":
            return self._is_open_bracket(text[at:])
        if one.isascii() and one.isupper() and (at == 0 or not _is_word(text[at - 1])):
            rest = text[at:]
            # a lone backslash may escape the next underscore
            return " " not in rest and "-" not in rest and _normal(rest.removesuffix("\\")) in self._heads
        return False

    def _is_open_bracket(self, tail: str) -> bool:
        low = tail.lower()
        if any(opener.startswith(low) for opener in _OPENERS) or _ESCAPED_OPEN.fullmatch(tail):
            return True
        opener = re.match(_OPEN, low)
        return opener is not None and self._is_open_body(tail[opener.end() :].removeprefix(" "))

    def _is_open_body(self, rest: str) -> bool:
        if _normal(rest.removesuffix("\\")) in self._heads:
            return True
        for size in range(len(rest), 0, -1):
            if rest[size - 1].isdigit() and _normal(rest[:size]) in self.names:
                closing = rest[size:].lower()
                bare = closing.removeprefix(" ")
                return any(closer.startswith(bare) for closer in _CLOSERS) or bool(_ESCAPED_CLOSE.fullmatch(closing))
        return False


def _is_word(one: str) -> bool:
    return one.isascii() and (one.isalnum() or one == "_")


def _normal(body: str) -> str:
    return _GAP.sub("_", body).upper()


Span = tuple[int, int]


def _begin(match: re.Match[str]) -> int:
    """Where a placeholder begins: backslashes before it alone are the text's own, as in `C:\\Users\\<PERSON_1>`."""
    said = match[0]
    slashes = len(said) - len(said.lstrip("\\"))
    is_escaped = not slashes or said[slashes] != "<" or said[-1] != ">" or said[-2] == "\\"
    return match.start() if is_escaped else match.start() + slashes


def restore_text(
    text: str, issued: Issued, *, is_json: bool, allows: Allows | None = None, kept: list[Span] | None = None
) -> str:
    """The text with everything issued replaced by the value it stands for, but what stands inside a URL.

    `allows` tells the hosts whose URLs are restored as well; `kept` takes the spans that were not.
    """
    trace = UrlTrace(allows, is_json=is_json)
    return _replaced(text, (0, len(text)), issued, "" if is_json else None, trace, [] if kept is None else kept)[0]


def _replaced(
    text: str, within: Span, issued: Issued, context: str | None, trace: UrlTrace, kept: list[Span]
) -> tuple[str, int]:
    """The text restored within a span, and up to where `trace` has read.

    `context` is what JSON came before it (from the last quote), None for prose. `trace` reads what leaves:
    a value may itself begin a URL.
    """
    low, high = within
    pieces: list[str] = []
    quotes = None if context is None else _Quotes(context, text, low)
    at = low
    for start, end, value in issued.found(text):
        if start < low or end > high:
            continue
        between = text[at:start]
        trace.advance(between)
        if trace.is_inside():
            kept.append((start, end))
            source = text[start:end]
        else:
            source = value if quotes is None else _as_source(value, quotes, start)
        trace.advance(source)
        pieces += (between, source)
        at = end
    pieces.append(text[at:high])
    return "".join(pieces), at


class _Quotes:
    """The last quote before each of many places, ascending: what lies between is read once, not for each place."""

    __slots__ = ("_at", "_low", "_quote", "_text")

    def __init__(self, context: str, text: str, low: int) -> None:
        self._text = context + text[low:]
        self._low = low - len(context)
        self._at = 0  # up to where quotes were looked for
        self._quote = 0

    def since(self, place: int) -> str:
        """What `_since_quote` says of the context and of the text before a place."""
        text, end = self._text, place - self._low
        while (found := text.find('"', self._at, end)) >= 0:
            if not found or text[found - 1] != "\\":
                self._quote = found
            self._at = found + 1
        self._at = max(self._at, end)
        return text[self._quote : min(end, self._quote + 16)]


def _as_source(value: str, quotes: _Quotes, start: int) -> str:
    """A value as JSON source; escaped twice inside a string that is JSON itself, to tell by what stands before it."""
    source = json.dumps(value, ensure_ascii=False)[1:-1]
    if source != value and _NESTED.match(quotes.since(start)):
        source = json.dumps(source, ensure_ascii=False)[1:-1]
    return source


def _since_quote(text: str) -> str:
    """The text from the last quote that opens or closes a JSON string, at most a few code points of it."""
    last = text.rfind('"')
    while last > 0 and text[last - 1] == "\\":
        last = text.rfind('"', 0, last)
    return text[max(0, last) : max(0, last) + 16]


class Restorer:
    """Restores one channel of a stream; holds only what could still become something it issued.

    For any chunking, what comes out is `restore_text` of the whole.
    """

    __slots__ = ("_at", "_before", "_context", "_held", "_issued", "_trace", "kept")

    def __init__(self, issued: Issued, *, is_json: bool = False, allows: Allows | None = None) -> None:
        self._issued = issued
        self._held = ""
        self._before = ""  # the last code point that left: what comes next may not stand alone behind it
        self._context = "" if is_json else None
        self._trace = UrlTrace(allows, is_json=is_json)
        self._at = 0  # code points of the channel that left, as they came
        self.kept: list[Span] = []  # what was not restored, in code points of the channel

    def feed(self, text: str) -> str:
        """What may leave now."""
        if not self._issued:
            return text
        return self._release(text, final=False)

    def finish(self) -> str:
        """What was held, restored as it stands."""
        return self._release("", final=True)

    def _release(self, text: str, *, final: bool) -> str:
        low = len(self._before)
        text = self._before + self._held + text
        high = len(text) if final else max(low, self._issued.hold(text, low))
        for start, end, _ in self._issued.found(text):
            if start < high < end:
                high = max(low, start)
        kept: list[Span] = []
        released, at = _replaced(text, (low, high), self._issued, self._context, self._trace, kept)
        self._trace.advance(text[at:high])
        self.kept += [(start - low + self._at, end - low + self._at) for start, end in kept]
        self._held = text[high:]
        if high > low:
            self._at += high - low
            self._before = text[high - 1 : high]
            if self._context is not None:
                self._context = _since_quote(self._context + text[low:high])
        return released
