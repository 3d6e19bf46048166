"""A provider that says the last message back, whole or a word a frame, and counts the planted values it was sent.

python -m gateway.echo PORT; `GET /seen` tells the counts.
"""

import asyncio
import re
import sys

import orjson
import uvloop

from gateway.planted import MARK
from gateway.upstream import STREAM_HEAD, Provider, chunk, event

_WORDS = re.compile(r"\S+\s*|\s+")


class Echo(Provider):
    """Answers every request with what it was told last."""

    seen = 0
    planted = 0

    def answer(self, body: bytes) -> None:
        """One answer; without a body, the counts."""
        if not body:
            self._send(orjson.dumps({"seen": Echo.seen, "planted": Echo.planted}))
            return
        Echo.seen += 1
        Echo.planted += MARK.encode() in body
        request = orjson.loads(body)
        text = request["messages"][-1]["content"]
        if request.get("stream"):
            frames = [chunk(event({"content": word})) for word in _WORDS.findall(text)]
            frames += [chunk(event({}, "stop")), chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]
            self._transport.write(STREAM_HEAD)
            self._send_frame(frames, 0)
            return
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._send(
            orjson.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "bench", "choices": [choice]})
        )

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


async def serve(port: int) -> None:
    """Serves until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
