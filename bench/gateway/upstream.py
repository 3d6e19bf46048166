"""A provider that answers at once: canned bodies over a raw asyncio protocol, so that it is never the bottleneck.

python -m gateway.upstream PORT [THINK_MS [GAP_MS]]

THINK_MS is how long it thinks before the first byte of an answer, as a model does (0). With GAP_MS a stream begins
with a frame that only names the role, as OpenAI's do, and that long passes between its frames.
"""

import asyncio
import functools
import re
import sys

import orjson
import uvloop

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The museum opens at nine and closes at six. " * 5,
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }
)
WHOLE = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)) + ANSWER


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One frame of a streamed answer."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + orjson.dumps(body) + b"\n\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WORDS = ["The", " museum", " opens", " at", " nine", " and", " closes", " at", " six", "."]


def chunk(data: bytes) -> bytes:
    """Bytes as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def stream_frames(count: int) -> list[bytes]:
    """`count` content frames and the two that end a stream, each as one HTTP chunk."""
    frames = [chunk(event({"content": WORDS[i % len(WORDS)]})) for i in range(count)]
    return [*frames, chunk(event({}, "stop")), chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


FRAMES = 50  # of a streamed answer, unless the request's max_tokens says otherwise
_STREAM = re.compile(rb'"stream":\s*true')
_COUNT = re.compile(rb'"max_tokens":\s*(\d+)')


class Provider(asyncio.Protocol):
    """Reads requests by their Content-Length and answers from memory."""

    def __init__(self, think_s: float = 0.0, gap_s: float | None = None) -> None:
        self._think_s = think_s
        self._gap_s = gap_s
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Answers every complete request."""
        self._buffer += data
        while (body := self._take()) is not None:
            if self._think_s:
                asyncio.get_running_loop().call_later(self._think_s, self.answer, body)
            else:
                self.answer(body)

    def answer(self, body: bytes) -> None:
        """One answer."""
        if not _STREAM.search(body):
            self._transport.write(WHOLE)
            return
        asked = _COUNT.search(body)
        self._transport.write(STREAM_HEAD)
        frames = stream_frames(int(asked[1]) if asked else FRAMES)
        if self._gap_s is not None:
            frames = [chunk(event({"role": "assistant", "content": ""})), *frames]
        self._send_frame(frames, 0)

    def _take(self) -> bytes | None:
        """The next request's body, None where it is not complete."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        if at < 0 and b"transfer-encoding: chunked" in head:
            last = self._buffer.find(b"0\r\n\r\n", end)
            if last < 0:
                return None
            length = last + 5 - end - 4
        else:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return None
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        return body

    def _send_frame(self, frames: list[bytes], at: int) -> None:
        # one frame a turn of the loop, as a model would; all at once would measure nothing but copying
        if self._transport.is_closing():
            return
        self._transport.write(frames[at])
        if at + 1 < len(frames) and self._gap_s:
            asyncio.get_running_loop().call_later(self._gap_s, self._send_frame, frames, at + 1)
        elif at + 1 < len(frames):
            asyncio.get_running_loop().call_soon(self._send_frame, frames, at + 1)


async def serve(port: int, think_ms: float = 0.0, gap_ms: float | None = None) -> None:
    """Serves until killed."""
    made = functools.partial(Provider, think_ms / 1000, None if gap_ms is None else gap_ms / 1000)
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *map(float, sys.argv[2:])))
