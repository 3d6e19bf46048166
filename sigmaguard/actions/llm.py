"""Tool calls and taint in LLM traffic: what an answer asks for, what a request's history brought in.

Knows where OpenAI's chat, Responses and Anthropic's messages keep calls; judges nothing. Whatever is not
shaped as expected is no call here, and still a text to every detector.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson

from sigmaguard.actions.call import ToolCall
from sigmaguard.actions.compiled import Names
from sigmaguard.model import Origin, Segment
from sigmaguard.wire.codec import Frame
from sigmaguard.wire.pointer import escape

TEXT_CHARS = 65_536  # of a streamed answer kept, to know it again when it is sent back
ARGUMENT_CHARS = 1_048_576  # of one streamed call; more than that is judged as no JSON object
CALLS = 128  # of one streamed answer

_CALL_ITEMS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}


class History(msgspec.Struct, frozen=True):
    """What a request shows of its conversation.

    `untrusted` says that results or documents of tools nobody trusts are in it, `said` what the model
    said before, `previous` the id of the response it goes on from.
    """

    untrusted: bool
    said: tuple[str, ...]
    previous: str


def history(body: object, segments: list[Segment], trusted: Names) -> History:
    """The history in a request body, of which `segments` are the decoded texts."""
    given = body if isinstance(body, dict) else {}
    names = dict(_calls_by_id(given))
    safe = set(_trusted_places(given, names, trusted)) if trusted else set()
    untrusted = any(
        (one.origin is Origin.DOCUMENT and _is_content(one.path))
        or (one.origin is Origin.TOOL_RESULT and not any(one.path.startswith(place) for place in safe))
        for one in segments
    )
    said = tuple(one.text for one in segments if one.origin is Origin.ASSISTANT)
    previous = given.get("previous_response_id")
    return History(untrusted, said[-50:], previous if isinstance(previous, str) else "")


def _is_content(path: str) -> bool:
    """Whether a document stands among the messages; fields nobody knows are documents, too, and no content."""
    return path.startswith(("/messages/", "/input/"))


def _messages(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("messages", "input"):
        found = body.get(key)
        for at, message in enumerate(found if isinstance(found, list) else ()):
            if isinstance(message, dict):
                yield f"/{key}/{at}", message


def _calls_by_id(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Call id and tool name of every call in a request's history."""
    for _, message in _messages(body):
        if message.get("type") in _CALL_ITEMS:
            yield str(message.get("call_id", "")), str(message.get("name", ""))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                yield str(call.get("id", "")), str(function.get("name", ""))
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "tool_use":
                yield str(part.get("id", "")), str(part.get("name", ""))


def _trusted_places(body: Mapping[str, Any], names: Mapping[str, str], trusted: Names) -> Iterator[str]:
    """Where results of trusted tools stand."""
    for path, message in _messages(body):
        for key in ("tool_call_id", "call_id"):
            if key in message and trusted.has_name(names.get(str(message[key]), "")):
                yield path + "/"
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and trusted.has_name(names.get(str(part.get("tool_use_id", "")), "")):
                yield f"{path}/content/{at}/"


def calls_in_answer(body: object) -> list[ToolCall]:
    """Every call in a whole answer."""
    answer = body if isinstance(body, dict) else {}
    return [*_chat_calls(answer), *_message_calls(answer), *_response_calls(answer)]


def _chat_calls(answer: Mapping[str, Any]) -> Iterator[ToolCall]:
    choices = answer.get("choices")
    for number, choice in enumerate(choices if isinstance(choices, list) else ()):
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            continue
        path = f"/choices/{number}/message"
        calls = message.get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                for kind, key in (("function", "arguments"), ("custom", "input")):
                    if isinstance(call.get(kind), dict):
                        yield _call(call[kind], key, f"{path}/tool_calls/{at}/{kind}")
        if isinstance(message.get("function_call"), dict):
            yield _call(message["function_call"], "arguments", f"{path}/function_call")


def _message_calls(answer: Mapping[str, Any]) -> Iterator[ToolCall]:
    content = answer.get("content")
    for at, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") in ("tool_use", "server_tool_use", "mcp_tool_use"):
            yield _call(part, "input", f"/content/{at}")


def _response_calls(answer: Mapping[str, Any]) -> Iterator[ToolCall]:
    output = answer.get("output")
    for at, item in enumerate(output if isinstance(output, list) else ()):
        if isinstance(item, dict) and item.get("type") in _CALL_ITEMS:
            yield _call(item, _CALL_ITEMS[str(item["type"])], f"/output/{at}")


def _call(holder: Mapping[str, Any], key: str, path: str, channel: str = "") -> ToolCall:
    return ToolCall(
        str(holder.get("name", "")), parse_arguments(holder.get(key)), path=f"{path}/{escape(key)}", channel=channel
    )


def parse_arguments(arguments: object) -> dict[str, object] | None:
    """Arguments as an object: JSON source parsed, nothing as an empty one, free text under `input`.

    None where they are none: what cannot be read counts against the call.
    """
    if isinstance(arguments, dict):
        return arguments
    if arguments is None or arguments == "":
        return {}
    if not isinstance(arguments, str) or len(arguments) > ARGUMENT_CHARS:
        return None
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {"input": arguments}
    return value if isinstance(value, dict) else {"input": value}


def texts_in_answer(body: object) -> list[str]:
    """What the model says in a whole answer, as it will be sent back."""
    answer = body if isinstance(body, dict) else {}
    texts: list[str] = []
    for choice in answer.get("choices") or ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            texts.append(message["content"])
    parts = [answer, *(item for item in answer.get("output") or () if isinstance(item, dict))]
    for holder in parts:
        content = holder.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                texts.append(part["text"])
    return texts


class _Open:
    """A call whose arguments are still coming."""

    __slots__ = ("chars", "name", "pieces")

    def __init__(self) -> None:
        self.name = ""
        self.pieces: list[str] = []
        self.chars = 0


class CallsInStream:
    """Puts the calls of a streamed answer together from its frames, whatever of their text has left by then."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._texts: dict[str, list[str]] = {}
        self._chars = 0
        self.response = ""

    def feed(self, frame: Frame) -> list[ToolCall]:
        """The calls that are complete with this frame."""
        body = frame.body
        if not isinstance(body, dict):
            return self._rest() if frame.ends else []
        self._note_text(frame)
        done = [*self._chat(body), *self._message(body), *self._response(body)]
        return [*done, *self._rest()] if frame.ends else done

    def texts(self) -> list[str]:
        """What the model said, a text for each channel."""
        return ["".join(pieces) for pieces in self._texts.values()]

    def _note_text(self, frame: Frame) -> None:
        for delta in frame.deltas:
            if delta.origin is Origin.ASSISTANT and self._chars < TEXT_CHARS:
                self._chars += len(delta.text)
                self._texts.setdefault(delta.channel, []).append(delta.text)

    def _chat(self, body: Mapping[str, Any]) -> Iterator[ToolCall]:
        choices = body.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if not isinstance(choice, dict):
                continue
            index, delta = choice.get("index", at), choice.get("delta")
            calls = delta.get("tool_calls") if isinstance(delta, dict) else None
            for number, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    holder = call.get("function") or call.get("custom") or {}
                    place = f"{index}/{call.get('index', number)}"
                    self._grow(place, holder.get("name"), holder.get("arguments") or holder.get("input"))
            function = delta.get("function_call") if isinstance(delta, dict) else None
            if isinstance(function, dict):
                self._grow(f"{index}/f", function.get("name"), function.get("arguments"))
            if choice.get("finish_reason") is not None:
                yield from self._close(f"{index}/")

    def _message(self, body: Mapping[str, Any]) -> Iterator[ToolCall]:
        place = f"block/{body.get('index')}"
        match body.get("type"):
            case "content_block_start":
                block = body.get("content_block")
                if isinstance(block, dict) and str(block.get("type", "")).endswith("tool_use"):
                    self._grow(place, block.get("name"), "")
            case "content_block_delta":
                delta = body.get("delta")
                if isinstance(delta, dict) and place in self._open:
                    self._grow(place, None, delta.get("partial_json"))
            case "content_block_stop":
                yield from self._close(place)
            case _:
                return

    def _response(self, body: Mapping[str, Any]) -> Iterator[ToolCall]:
        response = body.get("response")
        if isinstance(response, dict) and isinstance(response.get("id"), str):
            self.response = response["id"]
        item = body.get("item")
        if body.get("type") == "response.output_item.done" and isinstance(item, dict):
            yield from _response_calls({"output": [item]})

    def _grow(self, place: str, name: object, arguments: object) -> None:
        call = self._open.get(place)
        if call is None:
            if len(self._open) >= CALLS:
                return
            call = self._open[place] = _Open()
        if isinstance(name, str) and not call.name:
            call.name = name
        if isinstance(arguments, str) and call.chars <= ARGUMENT_CHARS:
            call.pieces.append(arguments)
            call.chars += len(arguments)

    def _close(self, prefix: str) -> Iterator[ToolCall]:
        for place in [one for one in self._open if one.startswith(prefix)]:
            call = self._open.pop(place)
            yield ToolCall(call.name, parse_arguments("".join(call.pieces)), path=f"/call/{place}", channel=place)

    def _rest(self) -> list[ToolCall]:
        return list(self._close(""))
