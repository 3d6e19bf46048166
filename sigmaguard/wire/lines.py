"""Newline-delimited JSON as a stream, sans-io: bytes in, lines out, every byte accounted for."""

from sigmaguard.errors import WireError
from sigmaguard.wire.sse import LIMIT_BYTES, SseEvent
from sigmaguard.wire.stream_shape import Run, Shape

_TYPES = ("ndjson", "jsonl", "x-json-stream", "stream+json")  # `application/x-ndjson`, `application/jsonlines`, ...


def is_lines_type(content_type: str) -> bool:
    """Whether a content type says that every line is a document of its own."""
    return any(name in content_type for name in _TYPES)


class LineDecoder:
    """Splits a stream into lines as `SseDecoder` does into events; concatenating their `raw` gives the stream back."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._buffer = bytearray()  # grows in place: a long line comes in thousands of pieces
        self._searched = 0
        self._limit = limit_bytes

    def push(self, data: bytes) -> None:
        """Takes bytes; `next` gives what is complete with them."""
        self._buffer += data

    def next(self, *, last: bool = False) -> SseEvent | None:
        """The next line, None until more bytes come. Raises WireError where one is too large.

        `last` says that no more will come: what is left is a line too.
        """
        end = self._buffer.find(b"\n", self._searched) + 1
        if not end:
            if last and self._buffer:
                end = len(self._buffer)
            elif len(self._buffer) > self._limit:
                raise WireError("frame_too_large", f"a line of the stream is over {self._limit} bytes")
            else:
                self._searched = len(self._buffer)
                return None
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._searched = 0
        return SseEvent(raw, "", raw.strip())

    def run(self, shape: Shape) -> Run | None:
        """None: lines are told one by one."""
        return None
