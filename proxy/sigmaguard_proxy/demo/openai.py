"""OpenAI's endpoints of the demo provider: chat completions, responses, completions, embeddings and the rest."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import orjson
from aiohttp import web

from sigmaguard_proxy.demo.border import given, reply, stream
from sigmaguard_proxy.demo.script import Said, Tool, answer, flat, pieces, tokens, vector

MODEL = "demo"
PIXEL = (  # one grey pixel as PNG, in base64
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


def routes() -> list[web.RouteDef]:
    """OpenAI's routes."""
    return [
        web.get("/v1/models", _models),
        web.get("/v1/models/{model}", _model),
        web.post("/v1/chat/completions", _chat),
        web.post("/v1/completions", _completions),
        web.post("/v1/responses", _responses),
        web.post("/v1/embeddings", _embeddings),
        web.post("/v1/moderations", _moderations),
        web.post("/v1/images/generations", _images),
    ]


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sigmaguard"}


async def _models(_: web.Request) -> web.Response:
    return reply({"object": "list", "data": [_model_object(MODEL)]})


async def _model(request: web.Request) -> web.Response:
    return reply(_model_object(request.match_info["model"]))


def _tools(body: dict[str, Any]) -> list[Tool]:
    found = [one.get("function", one) for one in body.get("tools") or () if isinstance(one, dict)]
    return [Tool(one["name"], one.get("parameters") or {}) for one in found if "name" in one]


def _usage(prompt: str, said: Said) -> dict[str, int]:
    given_tokens, made = tokens(prompt), tokens(said.text) + 8 * len(said.calls)
    return {"prompt_tokens": given_tokens, "completion_tokens": made, "total_tokens": given_tokens + made}


def _calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"id": f"call_demo_{at}", "type": "function", "function": {"name": name, "arguments": _json(arguments)}}
        for at, (name, arguments) in enumerate(said.calls)
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await given(request, "messages")
    messages = body["messages"]
    last = flat(messages[-1].get("content"))
    form = (body.get("response_format") or {}).get("json_schema") or {}
    said = answer(last, messages[-1].get("role", "user"), _tools(body), form.get("schema"))
    base = {"id": "chatcmpl-demo", "created": int(time.time()), "model": body.get("model", MODEL)}
    usage = _usage(last, said)
    count = max(1, int(body.get("n") or 1))
    if body.get("stream"):
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        chunk = {**base, "object": "chat.completion.chunk"}
        return await stream(request, _chat_frames(chunk, said, count, usage if wants_usage else None))
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = _calls(said)
    finish = "tool_calls" if said.calls else "stop"
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish} for index in range(count)
    ]
    return reply({**base, "object": "chat.completion", "choices": choices, "usage": usage})


async def _chat_frames(
    base: dict[str, Any], said: Said, count: int, usage: dict[str, int] | None
) -> AsyncIterator[bytes]:
    def frame(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**base, "choices": [choice]})

    for index in range(count):
        yield frame(index, {"role": "assistant", "content": "" if not said.calls else None, "refusal": None})
        for piece in pieces(said.text):
            yield frame(index, {"content": piece})
        for at, call in enumerate(_calls(said)):
            function = {"name": call["function"]["name"], "arguments": ""}
            yield frame(index, {"tool_calls": [{**call, "index": at, "function": function}]})
            for piece in pieces(call["function"]["arguments"]):
                yield frame(index, {"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
        yield frame(index, {}, "tool_calls" if said.calls else "stop")
    if usage is not None:
        yield _data({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _data(body: object) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def _completions(request: web.Request) -> web.StreamResponse:
    body = await given(request, "prompt")
    said = answer(flat(body.get("prompt")), "user", (), None)
    base = {
        "id": "cmpl-demo",
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.get("model", MODEL),
    }
    if body.get("stream"):
        return await stream(request, _completion_frames(base, said.text))
    choice = {"index": 0, "text": said.text, "logprobs": None, "finish_reason": "stop"}
    return reply({**base, "choices": [choice], "usage": _usage(flat(body.get("prompt")), said)})


async def _completion_frames(base: dict[str, Any], text: str) -> AsyncIterator[bytes]:
    for piece in pieces(text):
        yield _data({**base, "choices": [{"index": 0, "text": piece, "logprobs": None, "finish_reason": None}]})
    yield _data({**base, "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]})
    yield b"data: [DONE]\n\n"


async def _responses(request: web.Request) -> web.StreamResponse:
    body = await given(request, "input")
    source = body.get("input")
    last = source[-1] if isinstance(source, list) and source else source
    role = last.get("role", "tool") if isinstance(last, dict) else "user"
    text = flat(last)
    form = (body.get("text") or {}).get("format") or {}
    said = answer(text, role, _tools(body), form.get("schema"))
    response = {
        "id": "resp_demo",
        "object": "response",
        "created_at": int(time.time()),
        "model": body.get("model", MODEL),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "output": _items(said),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "metadata": {},
        "usage": {
            "input_tokens": tokens(text),
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": tokens(said.text),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens(text) + tokens(said.text),
        },
    }
    if body.get("stream"):
        return await stream(request, _response_frames(response))
    return reply(response)


def _items(said: Said) -> list[dict[str, Any]]:
    if said.calls:
        return [
            {
                "id": f"fc_demo_{at}",
                "type": "function_call",
                "status": "completed",
                "call_id": call["id"],
                **call["function"],
            }
            for at, call in enumerate(_calls(said))
        ]
    part = {"type": "output_text", "text": said.text, "annotations": []}
    return [{"id": "msg_demo", "type": "message", "role": "assistant", "status": "completed", "content": [part]}]


async def _response_frames(response: dict[str, Any]) -> AsyncIterator[bytes]:
    number = -1

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        body = {"type": kind, "sequence_number": number, **fields}
        return f"event: {kind}\n".encode() + _data(body)

    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        for frame in _item_events(event, index, item):
            yield frame
    yield event("response.completed", response=response)


def _item_events(event: Any, index: int, item: dict[str, Any]) -> Sequence[bytes]:
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        opened = {**item, "arguments": "", "status": "in_progress"}
        kind, text = "response.function_call_arguments", item["arguments"]
        return [
            event("response.output_item.added", output_index=index, item=opened),
            *(event(f"{kind}.delta", **place, delta=piece) for piece in pieces(text)),
            event(f"{kind}.done", **place, name=item["name"], arguments=text),
            event("response.output_item.done", output_index=index, item=item),
        ]
    part = item["content"][0]
    place["content_index"] = 0
    return [
        event("response.output_item.added", output_index=index, item={**item, "content": [], "status": "in_progress"}),
        event("response.content_part.added", **place, part={**part, "text": ""}),
        *(event("response.output_text.delta", **place, delta=piece, logprobs=[]) for piece in pieces(part["text"])),
        event("response.output_text.done", **place, text=part["text"], logprobs=[]),
        event("response.content_part.done", **place, part=part),
        event("response.output_item.done", output_index=index, item=item),
    ]


async def _embeddings(request: web.Request) -> web.Response:
    body = await given(request, "input")
    source = body.get("input")
    texts = [source] if isinstance(source, str) else list(source or ())
    data = [
        {"object": "embedding", "index": index, "embedding": vector(flat(text))} for index, text in enumerate(texts)
    ]
    count = sum(tokens(flat(text)) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return reply({"object": "list", "data": data, "model": body.get("model", MODEL), "usage": usage})


async def _moderations(request: web.Request) -> web.Response:
    body = await given(request, "input")
    source = body.get("input")
    texts = source if isinstance(source, list) else [source]
    results = [{"flagged": False, "categories": {}, "category_scores": {}} for _ in texts]
    return reply({"id": "modr-demo", "model": body.get("model", MODEL), "results": results})


async def _images(request: web.Request) -> web.Response:
    body = await given(request, "prompt")
    images = [{"b64_json": PIXEL} for _ in range(min(10, max(1, int(body.get("n") or 1))))]
    return reply({"created": int(time.time()), "output_format": "png", "data": images})
