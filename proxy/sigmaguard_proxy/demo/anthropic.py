"""Anthropic's endpoints of the demo provider: messages, whole and streamed, and token counts."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson
from aiohttp import web

from sigmaguard_proxy.demo.border import given, reply, stream
from sigmaguard_proxy.demo.openai import MODEL
from sigmaguard_proxy.demo.script import Said, Tool, answer, flat, pieces, tokens


def routes() -> list[web.RouteDef]:
    """Anthropic's routes."""
    return [web.post("/v1/messages", _messages), web.post("/v1/messages/count_tokens", _count)]


async def _count(request: web.Request) -> web.Response:
    body = await given(request, "messages")
    return reply({"input_tokens": sum(tokens(flat(one.get("content"))) for one in body["messages"])})


async def _messages(request: web.Request) -> web.StreamResponse:
    body = await given(request, "messages")
    messages = body["messages"]
    content = messages[-1].get("content")
    is_result = isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )
    last = flat(content)
    tools = [
        Tool(one["name"], one.get("input_schema") or {}) for one in body.get("tools") or () if "input_schema" in one
    ]
    said = answer(last, "tool" if is_result else "user", tools, None)
    message = {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", MODEL),
        "content": _blocks(said),
        "stop_reason": "tool_use" if said.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens(last), "output_tokens": tokens(said.text)},
    }
    if body.get("stream"):
        return await stream(request, _frames(message))
    return reply(message)


def _blocks(said: Said) -> list[dict[str, Any]]:
    if not said.calls:
        return [{"type": "text", "text": said.text}]
    return [
        {"type": "tool_use", "id": f"toolu_demo_{at}", "name": name, "input": arguments}
        for at, (name, arguments) in enumerate(said.calls)
    ]


async def _frames(message: dict[str, Any]) -> AsyncIterator[bytes]:
    start = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield _event("message_start", message=start)
    yield _event("ping")
    for index, block in enumerate(message["content"]):
        is_text = block["type"] == "text"
        opened = {**block, "text": ""} if is_text else {**block, "input": {}}
        yield _event("content_block_start", index=index, content_block=opened)
        text = block["text"] if is_text else msgspec.json.encode(block["input"]).decode()
        kind, key = ("text_delta", "text") if is_text else ("input_json_delta", "partial_json")
        for piece in pieces(text):
            yield _event("content_block_delta", index=index, delta={"type": kind, key: piece})
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": message["usage"]["output_tokens"]})
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"
