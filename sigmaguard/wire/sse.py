"""Server-sent events (WHATWG HTML 9.2), sans-io: bytes in, events out, every byte accounted for."""

import re

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.wire.stream_shape import Run, Shape

LIMIT_BYTES = 16 * 1024 * 1024  # of one event; an image in one frame is a few megabytes
LONG_BYTES = 65_536  # of an event that has not ended: more is gathered in pieces
_END = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")  # two line ends in a row, whichever kinds


_BOM = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True):
    """One event: its bytes as received (terminator included), its name, its data lines joined."""

    raw: bytes
    event: str
    data: bytes


class SseDecoder:
    """Splits a stream into events; concatenating their `raw` gives the stream back."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._buffer = b""
        self._start = self._searched = 0
        self._limit = limit_bytes
        self._waiting: list[bytes] = []  # what came since, while an event is still far from its end
        self._waiting_bytes = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that are complete with these bytes. Raises WireError where one is too large."""
        self.push(data)
        events: list[SseEvent] = []
        while (event := self.next()) is not None:
            events.append(event)
        return events

    def push(self, data: bytes) -> None:
        """Takes bytes; `next` and `run` give what is complete with them."""
        held = len(self._buffer) - self._start
        if held > LONG_BYTES and b"\n" not in data and b"\r" not in data and self._searched >= len(self._buffer) - 3:
            # nothing of it can end an event: joined once there is as much again, so that a long one is not copied
            # for every piece of it
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes < held:
                return
            data = b""
        if self._waiting:
            data = b"".join((*self._waiting, data))
            self._waiting, self._waiting_bytes = [], 0
        if held:
            self._buffer = self._buffer[self._start :] + data
            self._searched -= self._start
        else:
            self._buffer, self._searched = data, 0
        self._start = 0

    def next(self, *, last: bool = False) -> SseEvent | None:
        """The next event, None until more bytes come. Raises WireError where one is too large.

        `last` says that no more will come: what is left is an event too.
        """
        # after a lone CR the LF of a CRLF may still come: it then begins the next event, which ignores it
        buffer, start = self._buffer, self._start
        end = _END.search(buffer, self._searched)
        if end is None:
            if last:
                rest = self.finish()
                return rest[0] if rest else None
            self._searched = max(start, len(buffer) - 3)
            if len(buffer) - start + self._waiting_bytes > self._limit:
                raise WireError("frame_too_large", f"a server-sent event is over {self._limit} bytes")
            return None
        self._start = self._searched = end.end()
        return _parse(buffer[start : self._start])

    def run(self, shape: Shape) -> Run | None:
        """The events of this shape that come next, as one; None where the next one is another."""
        run = shape.run(self._buffer, self._start)
        if run is not None:
            self._start = self._searched = self._start + len(run.raw)
        return run

    def finish(self) -> list[SseEvent]:
        """What was left when the stream ended, as one last event where it is anything."""
        rest, self._buffer = b"".join((self._buffer[self._start :], *self._waiting)), b""
        self._waiting, self._waiting_bytes = [], 0
        self._start = self._searched = 0
        return [_parse(rest)] if rest else []


def _parse(raw: bytes) -> SseEvent:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return SseEvent(raw, "", raw[6:-2])  # one line of data, as nearly every event is
    event = ""
    data: list[bytes] = []
    for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix(_BOM).split(b"\n"):
        if line.startswith(b"data"):
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
        elif line.startswith(b"event:"):
            event = line[6:].strip().decode("utf-8", "replace")
    return SseEvent(raw, event, b"\n".join(data))
