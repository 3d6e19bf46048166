"""The shape that a stream's frames share, so that only the first of them is parsed as JSON. Knows bytes, no protocol.

The frames of an answer are the same bytes but for a little text each (and, with some, a running number
and padding). A shape is proven on one frame by parsing it again with another text in that place. A later
frame that has the very same bytes around a valid JSON string can then only mean the same with that text.
"""

from collections.abc import Mapping

import msgspec
import orjson

from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame

_TEXT, _NUMBER, _PADDING = "text", "number", "padding"
_END = b"\n\n"
_PROBE = "~probe~"
_DIGITS = frozenset(b"0123456789")
WINDOW_BYTES = 16_384  # of frames that are taken as one, so that frames in turn are not looked through again and again
_LONGEST_NUMBER = 15  # digits; no stream has as many frames


class Shape(msgspec.Struct, frozen=True):
    """Frames that add text to one channel: `pieces` are the bytes they share, `holes` what stands between them."""

    delta: Delta
    pieces: tuple[bytes, ...]
    holes: tuple[str, ...]

    def run(self, buffer: bytes, start: int) -> "Run | None":
        """The frames of this shape that stand one after the other at `start`; None where not even one does."""
        if not buffer.startswith(self.pieces[0], start):
            return None
        if len(self.holes) > 1:
            return self._numbered(buffer, start)
        head, tail = self.pieces
        low = start + len(head)
        end = buffer.find(_END, low)
        if end < 0 or not buffer.endswith(tail, low, end + 2):
            return None
        literals = [buffer[low : end + 2 - len(tail)]]
        if buffer.startswith(head, end + 2):
            first, *more = buffer[low : low + WINDOW_BYTES].split(tail + head)
            if more:
                last = more[-1].find(tail)
                literals = [first, *more[:-1]]
                if last >= 0:  # else not all of it is here
                    literals.append(more[-1][:last])
        return self._made(buffer, start, literals, -1)

    def _made(self, buffer: bytes, start: int, literals: list[bytes], number: int) -> "Run | None":
        texts = _decoded(literals)
        if not texts:
            return None
        if len(texts) == len(literals) and len(self.holes) == 1:
            size = sum(map(len, literals)) + len(literals) * (len(self.pieces[0]) + len(self.pieces[1]))
            return Run(self, buffer[start : start + size], texts, -1)
        end = start
        for _ in texts:
            end = buffer.find(_END, end) + 2
        return Run(self, buffer[start:end], texts, number if number < 0 else number - len(literals) + len(texts))

    def _numbered(self, buffer: bytes, start: int) -> "Run | None":
        """`run` where numbers run on without a gap, or frames are padded."""
        literals: list[bytes] = []
        number, at = -1, start
        while (end := buffer.find(_END, at)) >= 0:
            found = self.parts(buffer, at, end + 2)
            if found is None or (number >= 0 and found[2] != number + 1):
                break
            number = found[2]
            literals.append(buffer[found[0] : found[1]])
            at = end + 2
        return self._made(buffer, start, literals, number) if literals else None

    def parts(self, buffer: bytes, start: int, end: int) -> tuple[int, int, int] | None:
        """Where the text of the frame [start, end) begins and ends, and its number; None for another shape."""
        if not buffer.startswith(self.pieces[0], start, end):
            return None
        low = high = 0
        number, at = -1, start + len(self.pieces[0])
        last = len(self.holes) - 1
        for place, hole in enumerate(self.holes):
            piece = self.pieces[place + 1]
            stop = buffer.find(piece, at, end) if place < last else end - len(piece)
            if stop < at or (place == last and not buffer.endswith(piece, at, end)):
                return None
            if hole == _TEXT:
                low, high = at, stop
            elif hole == _NUMBER:
                digits = buffer[at:stop]
                if not _is_number(digits):
                    return None
                number = int(digits)
            elif stop > at and not buffer[at:stop].isalnum():
                return None
            at = stop + len(piece)
        return low, high, number


class Run(msgspec.Struct, frozen=True):
    """Frames of one shape, one after the other: their bytes and their texts.

    `number` is the last one's sequence number, -1 where they have none.
    """

    shape: Shape
    raw: bytes
    texts: list[str]
    number: int

    def delta(self) -> Delta:
        """All that they add, as one fragment."""
        one, texts = self.shape.delta, self.texts
        text = texts[0] if len(texts) == 1 else "".join(texts)
        return Delta(one.channel, one.path, one.origin, text, one.is_json)

    def rewrite(self, text: str, held: int) -> bytes:
        """The frames with `text` in place of theirs, whose last `held` code points stay behind.

        Frames whose text is in it unchanged keep their bytes; what comes before goes into the first.
        """
        raw, texts = self.raw, self.texts
        own = "".join(texts)
        kept = max(0, len(own) - held)
        if not text.endswith(own[:kept]):
            kept = 0  # edited: the first one takes all of it
        pieces: list[bytes] = []
        place, end, low = len(texts) - 1, len(raw), len(own)
        while place > 0 and low > kept:  # from the last one back, as far as something stays behind
            start = raw.rfind(_END, 0, end - 2) + 2
            low -= len(texts[place])
            pieces.append(self._with(start, end, texts[place][: max(0, kept - low)]))
            place, end = place - 1, start
        first = raw.find(_END) + 2
        pieces.append(raw[first:end])
        pieces.append(self._with(0, first, text[: len(text) - kept] + texts[0][:kept]))
        return b"".join(reversed(pieces))

    def _with(self, start: int, end: int, text: str) -> bytes:
        raw = self.raw
        found = self.shape.parts(raw, start, end)
        assert found is not None  # it was when the run was made
        return b"".join((raw[start : found[0]], orjson.dumps(text)[1:-1], raw[found[1] : end]))


def shape_of(frame: Frame, data: bytes) -> Shape | None:
    """The shape of a frame that does nothing but add to one channel; None where that cannot be proven.

    `data` is the event's data. Call it before the frame is rewritten.
    """
    raw, body = frame.raw, frame.body
    if len(frame.deltas) != 1 or frame.closes or frame.wholes or frame.ends or not isinstance(body, dict):
        return None
    delta = frame.deltas[0]
    if b"\n" in data or b"\r" in raw or not raw.endswith(data + _END):
        return None
    text = _literal(data, pointer.tokens(delta.path)[-1])
    if text is None or not _is_proven(body, data, delta, text):
        return None
    holes = sorted([(text, _TEXT), *_others(data, body)])
    pieces: list[bytes] = []
    at, before = 0, raw[: len(raw) - len(data) - len(_END)]
    for (low, high), _ in holes:
        if low < at:
            return None
        pieces.append(before + data[at:low])
        at, before = high, b""
    pieces.append(data[at:] + _END)
    channel = Delta(delta.channel, delta.path, delta.origin, "", delta.is_json)
    return Shape(channel, tuple(pieces), tuple(kind for _, kind in holes))


def _is_proven(body: Mapping[str, object], data: bytes, delta: Delta, span: tuple[int, int]) -> bool:
    """Whether the string there is the text, all of it, and nothing beside it tells the text again."""
    try:
        probe = orjson.loads(b"".join((data[: span[0]], _PROBE.encode(), data[span[1] :])))
        if pointer.get(probe, delta.path) != _PROBE:
            return False
        pointer.put(probe, delta.path, delta.text)
        return bool(probe == body) and not pointer.clear_beside(probe, delta.path, "logprobs")
    except (orjson.JSONDecodeError, LookupError, ValueError):
        return False


def _literal(data: bytes, key: str) -> tuple[int, int] | None:
    """Where the string of the only `key` stands, without its quotes."""
    name = b'"%b"' % key.encode()
    at = data.find(name)
    if at < 0 or data.find(name, at + 1) >= 0:
        return None
    at += len(name)
    while data[at : at + 1] in (b" ", b":"):
        at += 1
    if data[at : at + 1] != b'"':
        return None
    low = high = at + 1
    while True:
        high = data.find(b'"', high)
        if high < 0:
            return None
        before = data[low:high]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return low, high
        high += 1


def _others(data: bytes, body: Mapping[str, object]) -> list[tuple[tuple[int, int], str]]:
    """The running number and the padding, where a frame has them: `sequence_number` and `obfuscation`."""
    found: list[tuple[tuple[int, int], str]] = []
    padding, number = body.get("obfuscation"), body.get("sequence_number")
    if isinstance(padding, str):
        span = _literal(data, "obfuscation")
        if span is not None and data[span[0] : span[1]] == padding.encode("utf-8", "replace"):
            found.append((span, _PADDING))
    if type(number) is int:
        name = b'"sequence_number":'
        at = data.find(name) + len(name)
        while data[at : at + 1] == b" ":
            at += 1
        digits = b"%d" % number
        if (
            data.count(name) == 1
            and data.startswith(digits, at)
            and data[at + len(digits) : at + len(digits) + 1] in b",}"
        ):
            found.append(((at, at + len(digits)), _NUMBER))
    return found


def _decoded(literals: list[bytes]) -> list[str]:
    """The strings these literals stand for, up to the first that is none."""
    together = b"".join(literals)
    if b'"' not in together and b"\\" not in together:
        try:
            texts: list[str] = orjson.loads(b'["%b"]' % b'","'.join(literals)) if literals else []
        except orjson.JSONDecodeError:
            texts = []
        if texts:
            return texts
    texts = []
    for literal in literals:
        try:
            texts.append(orjson.loads(b'"%b"' % literal))
        except orjson.JSONDecodeError:
            break
    return texts


def _is_number(digits: bytes) -> bool:
    return 0 < len(digits) <= _LONGEST_NUMBER and _DIGITS.issuperset(digits) and (digits[:1] != b"0" or digits == b"0")
