"""What providers put on the wire, as the scripted provider sends it: OpenAI responses, Anthropic messages, tools."""

from collections.abc import Sequence
from typing import Any

import orjson

from tests.proxy.scripted import chunk_of, event

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def tool_call(number: int, arguments: str, name: str = "weather") -> dict[str, Any]:
    """One call of a function."""
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_answer(*arguments: str) -> dict[str, Any]:
    """A chat answer that calls a tool once for each."""
    calls = [tool_call(number, one) for number, one in enumerate(arguments)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }


def tool_stream(*arguments: str, size: int = 5) -> list[bytes]:
    """The same streamed: calls side by side, their arguments in fragments."""
    pieces = [chunk_of({"role": "assistant", "content": None})]
    for number, _ in enumerate(arguments):
        call = {"index": number, **tool_call(number, "")}
        pieces.append(chunk_of({"tool_calls": [call]}))
    for at in range(0, max(map(len, arguments)), size):
        for number, one in enumerate(arguments):
            if one[at : at + size]:
                call = {"index": number, "function": {"arguments": one[at : at + size]}}
                pieces.append(chunk_of({"tool_calls": [call]}))
    return [*pieces, chunk_of({}, finish="tool_calls"), event(b"[DONE]")]


def response(*outputs: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    """A response object."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-test",
        "status": status,
        "output": list(outputs),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "instructions": None,
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 8,
        },
    }


def output_text(text: str) -> dict[str, Any]:
    """A message of an output."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def output_call(arguments: str) -> dict[str, Any]:
    """A function call of an output."""
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "weather",
        "arguments": arguments,
        "status": "completed",
    }


def response_stream(fragments: Sequence[str], arguments: Sequence[str] = ()) -> list[bytes]:
    """A streamed response: a message in fragments, then a call in fragments."""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response(status="in_progress")}]
    outputs = []
    text = "".join(fragments)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    message = output_text(text)
    events.append({"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}})
    events.append(
        {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": "", "annotations": []}}
    )
    events += [
        {"type": "response.output_text.delta", **place, "delta": one, "logprobs": [], "obfuscation": "xY"}
        for one in fragments
    ]
    events.append({"type": "response.output_text.done", **place, "text": text, "logprobs": []})
    events.append({"type": "response.content_part.done", **place, "part": message["content"][0]})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": message})
    outputs.append(message)
    if arguments:
        call = output_call("".join(arguments))
        place = {"item_id": "fc_1", "output_index": 1}
        events.append({"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}})
        events += [{"type": "response.function_call_arguments.delta", **place, "delta": one} for one in arguments]
        events.append(
            {
                "type": "response.function_call_arguments.done",
                **place,
                "arguments": call["arguments"],
                "name": "weather",
            }
        )
        events.append({"type": "response.output_item.done", "output_index": 1, "item": call})
        outputs.append(call)
    events.append({"type": "response.completed", "response": response(*outputs)})
    return [event({**one, "sequence_number": number}, one["type"]) for number, one in enumerate(events)]


def message(*blocks: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """An Anthropic message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 5},
    }


def message_stream(fragments: Sequence[str], tool_json: Sequence[str] = (), thinking: str = "") -> list[bytes]:
    """A streamed Anthropic message: thinking, a text block, a tool block, each in fragments."""
    start = {**message(), "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if thinking:
        deltas = [{"type": "thinking_delta", "thinking": one} for one in thinking]
        blocks.append(
            (
                {"type": "thinking", "thinking": "", "signature": ""},
                [*deltas, {"type": "signature_delta", "signature": "c2ln"}],
            )
        )
    blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": one} for one in fragments]))
    if tool_json:
        block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
        blocks.append((block, [{"type": "input_json_delta", "partial_json": one} for one in ("", *tool_json)]))
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = "tool_use" if tool_json else "end_turn"
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        }
    )
    events.append({"type": "message_stop"})
    return [event(one, one["type"]) for one in events]


def spread(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """A stream's bytes cut anew into pieces of a size."""
    raw = b"".join(pieces)
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """The JSON of every event of a stream."""
    lines = raw.split(b"\n")
    return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
