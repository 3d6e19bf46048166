"""What the demo provider's endpoints share: bodies read, answers sent, errors in the caller's protocol.

Knows OpenAI's and Anthropic's error shapes, not what an endpoint does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from sigmaguard_proxy.demo.script import flat

RECEIVED = "x-demo-received"  # a header, since placeholders in the answer's text are turned back into the values
RECEIVED_CHARACTERS = 500  # shown of a message; clients refuse headers of many kilobytes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY = web.RequestKey("body", dict[str, Any])


async def given(request: web.Request, needs: str = "") -> dict[str, Any]:
    """The request's JSON object; a clear 400 where it is none or lacks the field `needs`.

    `messages` is needed as a list of objects, any other field as anything that is not null.
    """
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise refusal(request, 400, "the body must be a JSON object")
    value = body.get(needs)
    if needs == "messages":
        if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
            raise refusal(request, 400, "`messages` must be a list of objects with `role` and `content`", needs)
    elif needs and value is None:
        raise refusal(request, 400, f"`{needs}` is missing", needs)
    request[_BODY] = body
    return body


def reply(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def stream(request: web.Request, frames: AsyncIterator[bytes]) -> web.StreamResponse:
    """Server-sent events, one write each."""
    out = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
    await out.prepare(request)
    async for frame in frames:
        await out.write(frame)
    await out.write_eof()
    return out


async def show_received(request: web.Request, response: web.StreamResponse) -> None:
    """Says in a header what reached the provider: the last message, on one ASCII line."""
    text = _last(request.get(_BODY, {}))
    if text:
        line = "".join(one if one.isprintable() else "?" for one in " ".join(text[:RECEIVED_CHARACTERS].split()))
        response.headers[RECEIVED] = line.encode("ascii", "backslashreplace").decode()


@web.middleware
async def one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The router's refusals, and fields of a type that no endpoint can read, in the caller's protocol."""
    try:
        return await handler(request)
    except _RefusalError as error:
        return error.answer
    except web.HTTPException as error:
        return refusal(request, error.status, f"the demo provider has no {request.method} {request.path}").answer
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # a demo checks what people get wrong; for the rest the reading itself is the check
        return refusal(request, 400, "a field of the body has another type than the API gives it").answer


class _RefusalError(Exception):
    """Ends an endpoint with an answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def refusal(request: web.Request, status: int, message: str, field: str | None = None) -> _RefusalError:
    """An error to raise, in the shape of the protocol whose path was asked."""
    if request.path.startswith("/v1/messages"):
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        return _RefusalError(reply({"type": "error", "error": {"type": kind, "message": message}}, status))
    code = {404: "unknown_url", 405: "method_not_supported"}.get(status)
    error = {"message": message, "type": "invalid_request_error", "param": field, "code": code}
    return _RefusalError(reply({"error": error}, status))


def _last(body: dict[str, Any]) -> str:
    """The newest text of a request, whatever its endpoint calls it."""
    value = body.get("messages") or body.get("input") or body.get("prompt")
    return flat(value[-1] if isinstance(value, list) and value else value)
